"""--checkpoint, --resume and --save, of the command that trains one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import _stop
from .common import check_output, console, flag

if TYPE_CHECKING:
    from ..chapter.results import EpochResult
    from ..runs.run import Run

Checkpoint = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Folder to keep the run in, after each epoch."),
]
Resume = Annotated[bool, flag("--resume", "Go on from the folder of --checkpoint.")]


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


def check_file(path: Path, option: str) -> None:
    """Try the folder of a file to come; nothing but a file may be there already."""
    check_output(path.parent, option)
    if path.exists() and not path.is_file():
        raise typer.BadParameter(
            f"found {path}, which is no plain file, expected a file to write",
            param_hint=option,
        )


@contextmanager
def keeping(
    run: Run, folder: Path | None, resume: bool, writes: bool = True
) -> Iterator[Iterator[EpochResult]]:
    """Give the epochs of ``run``, kept in ``folder`` if there is one.

    Interrupted, the command says how to go on. Of several processes that train the
    run, one ``writes``; the others resume it too.
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

    with _stop.hint(words):
        yield epochs()


def mark(run: Run, result: EpochResult) -> str:
    """Return what is to stand behind the line of an epoch that was not trained now."""
    return "  (from the checkpoint)" if result.epoch <= len(run.earlier) else ""
