"""What several commands share."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

Root = Annotated[
    Path | None, typer.Option(help="Folder of the data files; Gluon's by default.")
]
console = Console(highlight=False, soft_wrap=True, markup=False)


def progress_bar() -> Progress:
    """Return a bar with the time left; it is disabled where there is no terminal."""
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    hidden = not console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=hidden)


def check_output(folder: Path, option: str = "--output") -> None:
    """Make the folder and try it, before any work that it could lose."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise typer.BadParameter(
            f"found {folder}, which cannot be written to ({error.strerror}), "
            "expected a folder for what it makes",
            param_hint=option,
        ) from None
