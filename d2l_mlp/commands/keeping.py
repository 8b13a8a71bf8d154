"""--checkpoint and --resume, for commands that train one run, or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import _stop
from .common import check_output, console

if TYPE_CHECKING:
    from ..chapter.results import EpochResult
    from ..runs.run import Run
    from ..runs.run_folders import RunFolders
    from ..runs.sweep import Json

Checkpoint = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Folder to keep the run in, after each epoch."),
]
Checkpoints = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        file_okay=False,
        help="Folder to keep the runs under way in, each after each epoch.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the folder of --checkpoint.")
]


def check_checkpoint(folder: Path | None, resume: bool) -> None:
    """Try the folder for checkpoints, before anything is loaded for the run."""
    if folder is not None and not (resume and not folder.exists()):
        check_output(folder, "--checkpoint")
    elif resume:
        raise typer.BadParameter(
            f"found {folder or 'no --checkpoint'}, expected the folder of the run "
            "that is to go on",
            param_hint="--resume",
        )


@contextmanager
def keeping(
    run: Run, folder: Path | None, resume: bool, writes: bool = True
) -> Iterator[Iterator[EpochResult]]:
    """Give the epochs of ``run``, kept in ``folder`` if there is one.

    What interrupts the body is told how to go on. Of several processes that train the
    run, one ``writes``; the others take it up from what is there, too.
    """
    if folder is None:
        yield run.epochs()
        return
    from ..runs import resuming
    from ..runs.checkpoint_folder import Folder

    def epochs() -> Iterator[EpochResult]:
        if writes:
            yield from resuming.kept_epochs(run, folder, resume)
        elif resume:
            yield from resuming.resumed_epochs(run, folder)
        else:
            yield from run.epochs()
        if len(run.earlier) == run.settings.num_epochs:
            console.print(f"that run had ended; {folder} is left as it is")

    def words() -> str:
        if kept := Folder(folder).paths():
            return (
                f"{folder} keeps the run as of epoch {max(kept)}, the same command "
                "with --resume goes on there"
            )
        return "no epoch had ended, so nothing is kept: the same command starts anew"

    with _stop.raising(words):
        yield epochs()


def mark(run: Run, result: EpochResult) -> str:
    """Return what is to stand behind the line of an epoch that was not trained now."""
    return "  (from the checkpoint)" if result.epoch <= len(run.earlier) else ""


def keeping_runs(folder: Path | None, resume: bool) -> AbstractContextManager[None]:
    """Have ``folder``, if there is one, for the runs of this command alone."""
    if folder is None:
        return nullcontext()
    from ..runs.run_folders import locked

    return locked(folder, resume)


def take_up(
    folders: RunFolders | None,
    planned: list[Json],
    path: Path,
    make: Callable[[Json], Run],
) -> None:
    """See to what is kept of ``planned``, before any of them is begun.

    Args:
        folders: where they are kept on their way; None if they are not.
        planned: the jobs.
        path: the file of the records of those that have ended, of which nothing else
            is kept from here on.
        make: gives a job's run.

    Raises:
        CheckpointError: what is kept there cannot be gone on with.
    """
    if folders is None:
        return
    from ..runs.sweep import read

    for record in read(path):
        folders.remove(record["job"])
    if number := folders.check(planned, make):
        console.print(f"under way in {folders.path}, and going on: {number}")
