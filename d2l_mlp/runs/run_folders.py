"""Many runs, which several processes train: each is kept in a folder of its own.

with locked(path, resume=True):
    folders = RunFolders(path)
    folders.check(planned, make_run)
    for record in sweep(partial(train, folders=folders), planned, results):
        folders.remove(record["job"])
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import _files
from ..chapter.results import EpochResult
from .checkpoint import CheckpointError
from .checkpoint_folder import Folder
from .resuming import check, kept_epochs
from .run import Run
from .sweep import Json, key, one_thread

#: Marks a folder of such folders, and is locked while a command uses it.
_LOCK = ".runs.lock"


@dataclass(frozen=True)
class RunFolders:
    """A folder of runs under way.

    Attributes:
        path: the folder.
        kind: begins the name of each run's own folder in it.
        others: kinds of runs that are kept there as well, and looked after elsewhere.
    """

    path: Path
    kind: str = "run"
    others: tuple[str, ...] = ()

    def of(self, job: Json) -> Path:
        """Return the folder of a job's run; equal jobs, and no others, share one."""
        digest = hashlib.sha256(key(job).encode()).hexdigest()
        return self.path / f"{self.kind}-{digest[:16]}"

    def check(self, jobs: Sequence[Json], make: Callable[[Json], Run]) -> int:
        """Hold what is kept against ``jobs``, before any of them is begun.

        Args:
            jobs: those that have not ended.
            make: gives a job's run.

        Returns:
            How many of them are under way.

        Raises:
            CheckpointError: a run is kept that is none of theirs; or one of which no
                checkpoint is whole, or which was made with other data or versions.
        """
        found = {
            name: path
            for name, path in under_way(self.path).items()
            if name.partition("-")[0] not in self.others
        }
        planned = {self.of(job).name: job for job in jobs}
        # Of a damaged checkpoint it is the process that takes the run up that warns.
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, path in found.items():
                if name not in planned:
                    raise CheckpointError(
                        f"{path}: found a run under way{_described(path)}, which is "
                        "none of these: ask for the same as when it was begun, or name "
                        "another folder"
                    )
                check(make(planned[name]), Folder(path).newest(), path)
        return len(found)

    def has(self, job: Json) -> bool:
        """Return whether a job's run is kept."""
        return self.of(job).name in under_way(self.path)

    def remove(self, job: Json) -> None:
        """Delete what is kept of a job that has ended, if anything is."""
        path = self.of(job)
        if path.is_dir():
            Folder(path).remove()


def job_epochs(run: Run, path: Path | None) -> Generator[EpochResult, None, None]:
    """Train one of many runs, after what is kept of it, if anything is.

    Args:
        run: the run, its epochs not yet begun.
        path: its own folder; None to keep nothing.

    Raises:
        CheckpointError: as ``kept_epochs``.
    """
    if path is None:
        yield from run.epochs()
    else:
        begun = path.is_dir() and bool(Folder(path).paths())
        yield from kept_epochs(run, path, resume=begun)


def under_way(path: Path) -> dict[str, Path]:
    """Return the folders in ``path`` that have checkpoints, by name."""
    return {
        folder.name: folder
        for folder in sorted(path.iterdir())
        if folder.is_dir() and Folder(folder).paths()
    }


@contextmanager
def locked(path: Path, resume: bool) -> Iterator[None]:
    """Have ``path``, which is there, for the runs of one command alone.

    Raises:
        CheckpointError: runs are kept there and ``resume`` is not set; it is, and none
            have ever been; there is a run in the folder itself; another process has it.
        OSError: the folder cannot be read or written.
    """
    if own := Folder(path).paths():
        raise CheckpointError(
            f"{path}: found the checkpoint of epoch {max(own)} of a single run, "
            "expected a folder for many: name another one"
        )
    if resume and not (path / _LOCK).exists():
        raise CheckpointError(
            f"{path}: found no runs, expected those that are to go on: name their "
            "folder; or leave --resume out, and start anew"
        )
    refusal = CheckpointError(
        f"{path}: another process keeps its runs there; wait for its end, or name "
        "another folder"
    )
    with _files.alone(path / _LOCK, refusal):
        if not resume and (found := under_way(path)):
            raise CheckpointError(
                f"{path}: found runs under way ({', '.join(found)}), expected "
                "none: go on with them with --resume, or name another folder"
            )
        yield


def _described(path: Path) -> str:
    """Say what the run in ``path`` is, if that can be read."""
    try:
        made_of = Folder(path).newest().made_of
    except (CheckpointError, OSError):
        return ""
    names = ("num_hiddens", "lr", "batch_size", "num_epochs", "seed")
    return " of " + ", ".join(f"{name} {made_of.get(name)}" for name in names)
