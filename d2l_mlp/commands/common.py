"""What several commands share."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from .. import _compat, _stop
from .options import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..runs.sweep import Json

Root = Annotated[
    Path | None,
    typer.Option(help="Folder to look for the data in first; Gluon's by default."),
]
Jobs = Annotated[int | None, whole("Processes; one a processor by default.")]
console = Console(highlight=False, soft_wrap=True, markup=False)


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


def check_file(path: Path, option: str) -> None:
    """Try the folder of a file to come; nothing but a file may be there already."""
    check_output(path.parent, option)
    if path.exists() and not path.is_file():
        raise typer.BadParameter(
            f"found {path}, which is no plain file, expected a file to write",
            param_hint=option,
        )


def save(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and say so.

    Raises:
        OSError: it cannot be written; names the file.
    """
    from .._files import write_whole

    write_whole(path, content)
    console.print(f"wrote {path}")


def save_figure(figure: Figure, path: Path, **options: Any) -> None:
    """Write a figure as PNG, and say so; ``options`` are those of ``savefig``."""
    save(path, png_of(figure, **options))


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
    work: Callable[[Json], Json],
    planned: list[Json],
    path: Path,
    jobs: int | None,
) -> Iterator[Json]:
    """Yield each job's record, over a progress bar where there is a terminal.

    Args:
        work: see ``sweep``.
        planned: the jobs.
        path: the file of their records, which grows by each that was missing.
        jobs: processes; one a processor by default.
    """
    from ..runs.sweep import count_missing, sweep

    jobs = jobs or _compat.count_processors()
    total, missing = count_missing(planned, path)
    console.print(
        f"{total - missing} of {total} runs are in {path}; {missing} to go, "
        f"{jobs} at a time"
    )
    step = max(1, missing // 10)
    done = missing - total
    others: set[tuple[tuple[str, str], ...]] = set()
    words = partial(how_to_go_on, path)
    with _stop.hint(words), progress_bar() as progress:
        task = progress.add_task("", total=missing)
        for record in sweep(work, planned, path, jobs):
            done += 1
            if done > 0:
                progress.advance(task)
                if progress.disable and (done % step == 0 or done == missing):
                    console.print(f"{done} of {missing} runs")
            others.add(tuple(record["result"]["versions"].items()))
            yield record
    _tell_other_versions(others)


def _tell_other_versions(found: set[tuple[tuple[str, str], ...]]) -> None:
    """Say so if runs were kept that other versions made."""
    from ..runs.jobs import versions

    for other in sorted(found - {tuple(versions().items())}):
        made_by = ", ".join(f"{name} {version}" for name, version in other)
        console.print(f"some kept runs were made by {made_by}")
