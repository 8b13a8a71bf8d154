"""A folder of a run's last checkpoints, which one process has to itself.

with Folder(Path("checkpoints")) as folder:
    folder.keep(checkpoint)
    checkpoint = folder.newest()
"""

from __future__ import annotations

import re
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

from .. import _files, _values
from .checkpoint import Checkpoint, CheckpointError, read

#: Checkpoints that stay: the newest may turn out to be damaged.
KEPT = 2
_LOCK = ".lock"
_NAME = "epoch-{}.checkpoint"
_PATTERN = re.compile(_NAME.format(r"([1-9]\d{0,8})"))
_PARTIAL = re.compile(rf"{_PATTERN.pattern}(\.\d+)?{re.escape(_files.PARTIAL)}")


class Folder:
    """A folder of checkpoints, ``epoch-1.checkpoint`` and so on, locked while open.

    Args:
        path: the folder; it is made.

    Raises:
        CheckpointError: on entering, another process has it.
        OSError: on entering, it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = _values.path("path", path)
        self._open = ExitStack()

    def __enter__(self) -> Folder:
        with _files.readable(self.path, "a folder to keep checkpoints in"):
            self.path.mkdir(parents=True, exist_ok=True)
        refusal = CheckpointError(
            f"{self.path}: another process keeps its checkpoints there; wait for its "
            "end, or name another folder"
        )
        self._open.enter_context(_files.alone(self.path / _LOCK, refusal))
        self._remove_partial()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def paths(self) -> dict[int, Path]:
        """Return the checkpoints' files by epoch, the newest first."""
        found = {
            int(match[1]): path
            for path in self._list()
            if (match := _PATTERN.fullmatch(path.name)) and path.is_file()
        }
        return dict(sorted(found.items(), reverse=True))

    def _list(self) -> list[Path]:
        with _files.readable(self.path, "a folder of checkpoints"):
            return list(self.path.iterdir())

    def keep(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then delete what is older than the one before it.

        Raises:
            CheckpointError: it cannot be written; those that were there stay.
        """
        epoch = len(checkpoint.results)
        path = self.path / _NAME.format(epoch)
        try:
            _files.write_whole(path, *checkpoint.to_file())
        except OSError as error:
            kept, epochs = "; none was kept before it", {}
            # The folder itself may be gone.
            with suppress(OSError):
                epochs = self.paths()
            if epochs:
                kept = f" and go on with --resume: that of epoch {max(epochs)} is kept"
            raise CheckpointError(
                f"{path}: cannot be written ({error.strerror}), expected room for "
                f"{KEPT + 1} checkpoints: make room{kept}"
            ) from None
        for older, its_path in self.paths().items():
            if older <= epoch - KEPT:
                its_path.unlink()
        return path

    def _remove_partial(self) -> None:
        """Delete what a process left that was killed while it wrote."""
        for path in self._list():
            if _PARTIAL.fullmatch(path.name):
                path.unlink()

    def newest(self) -> Checkpoint:
        """Return the newest checkpoint that is whole; warn of newer ones.

        Raises:
            CheckpointError: there is none; names what is wrong with each.
        """
        problems: list[str] = []
        for epoch, path in self.paths().items():
            try:
                checkpoint = read(path)
                if len(checkpoint.results) != epoch:
                    raise CheckpointError(
                        f"{path}: found epoch {len(checkpoint.results)} in it"
                    )
            except (CheckpointError, OSError) as error:
                problems.append(str(error))
                continue
            for problem in problems:
                warnings.warn(f"{problem}; going on from {path}", stacklevel=2)
            return checkpoint
        found = "no checkpoint that is whole" if problems else "no checkpoints"
        raise CheckpointError(
            f"{self.path}: found {found}, expected those of the run that is to go on: "
            "name its folder; or leave --resume out, and start anew in another one"
            + "".join(f"\n  {problem}" for problem in problems)
        )
