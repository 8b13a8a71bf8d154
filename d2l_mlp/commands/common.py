"""What several commands share: options, the console, folders, runs over processes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from .. import _stop, _threads
from ..runs.settings import check_text, in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..runs.sweep import Json

console = Console(highlight=False, soft_wrap=True, markup=False)


def option(kind: Any, help: str) -> Any:
    """Return an option that takes what the type ``kind`` takes, and no other text."""
    metavar = "<integer>" if "whole" in in_words(kind) else "<number>"
    if get_origin(kind) is Literal:
        metavar = f"<{'|'.join(get_args(kind))}>"

    def parse(text: Any) -> Any:
        # A default comes as it is.
        if not isinstance(text, str):
            return text
        try:
            return check_text(kind, text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(parser=parse, metavar=metavar, help=help)


def whole(help: str, least: int = 1, most: int | None = None) -> Any:
    """Return an option for a whole number from ``least`` on, to ``most`` if given."""
    return option(Annotated[int, Field(ge=least, le=most)], help)


def flag(name: str, help: str) -> Any:
    """Return an option that is there or not."""
    return typer.Option(name, help=help)


Root = Annotated[
    Path | None,
    typer.Option(help="Folder to look for the data in first; Gluon's by default."),
]
Jobs = Annotated[int | None, whole("Processes; one a processor by default.")]


def table_console() -> Console:
    """Return a console for tables, which mark up their cells and fold them."""
    return Console(highlight=False, width=None if console.is_terminal else 120)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with the time left; it is disabled where there is no terminal."""
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    hidden = not console.is_terminal
    bar = Progress(*columns, console=console, transient=True, disable=hidden)
    with bar:
        yield bar


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Import in the body what the package's ``extra`` brings, for ``what``.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{what} needs the package {error.name}, which is not installed: "
            f"pip install 'd2l_mlp[{extra}]', or make clean setup"
        ) from None


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


def save(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and say so.

    Raises:
        OSError: it cannot be written; names the file.
    """
    from .._files import write_whole

    write_whole(path, content)
    console.print(f"wrote {path}")


def png_of(figure: Figure, **options: Any) -> bytes:
    """Draw a figure as PNG; ``options`` are those of ``savefig``."""
    content = io.BytesIO()
    # Without its version, matplotlib makes the same bytes of the same figure.
    always: dict[str, Any] = {"dpi": 110, "metadata": {"Software": None}}
    figure.savefig(content, format="png", **always | options)
    return content.getvalue()


def as_text(root: Path | None) -> str | None:
    """Return a folder as other processes are to be given it."""
    return None if root is None else str(root.expanduser().absolute())


def how_to_go_on(where: str | Path) -> str:
    """Return what is said when runs are interrupted that are kept ``where``."""
    return f"what ended is kept in {where}, the same command goes on there"


def run_jobs(
    train: Callable[..., Json],
    planned: list[Json],
    path: Path,
    jobs: int | None,
    root: Path | None,
) -> list[Json]:
    """Return each job's record, over a progress bar where there is a terminal.

    Args:
        train: does a job, given the folder of the data files, see ``sweep``.
        planned: the jobs.
        path: the file of their records, which grows by each that was missing.
        jobs: processes; one a processor by default.
        root: folder of the data files.
    """
    from ..runs.jobs import versions
    from ..runs.sweep import count_missing, sweep

    jobs = jobs or _threads.count_processors()
    work = partial(train, root=as_text(root))
    total, missing = count_missing(planned, path)
    console.print(
        f"{total - missing} of {total} runs are in {path}; {missing} to go, "
        f"{jobs} at a time"
    )
    step = max(1, missing // 10)
    records = []
    with _stop.hint(partial(how_to_go_on, path)), progress_bar() as progress:
        task = progress.add_task("", total=missing)
        for record in sweep(work, planned, path, jobs):
            records.append(record)
            done = len(records) - (total - missing)
            if done > 0:
                progress.advance(task)
                if progress.disable and (done % step == 0 or done == missing):
                    console.print(f"{done} of {missing} runs")
    made_by = {tuple(record["result"]["versions"].items()) for record in records}
    for other in sorted(made_by - {tuple(versions().items())}):
        text = ", ".join(f"{name} {version}" for name, version in other)
        console.print(f"some kept runs were made by {text}")
    return records
