"""How a run stands after an epoch, in a file that is whole or refused.

path.write_bytes(b"".join(checkpoint.to_file()))
checkpoint = read(path)
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .. import _files, _values
from .._checks import param_names
from ..chapter.results import EpochResult

#: Stands before the content, and tells which it is to be.
_LINE = "d2l_mlp checkpoint 3, {} bytes, sha256 {}\n"
_PATTERN = re.compile(_LINE.format(r"(\d{1,15})", "([0-9a-f]{64})").encode())


class CheckpointError(ValueError):
    """There is no checkpoint to go on from, or none can be kept; says why."""


class _Strict(BaseModel):
    """Takes what it names, of the very types, and no NaN: JSON has none."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Optimizer(_Strict):
    """What a Gluon trainer of plain SGD knows beside the parameters."""

    num_update: Annotated[int, Field(ge=0)]
    learning_rate: float


class Shuffling(_Strict):
    """State of NumPy's global generator, which shuffles the images."""

    key: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**32)]],
        Field(min_length=624, max_length=624),
    ]
    # NumPy reads beyond its array if told to, and does not check.
    position: Annotated[int, Field(ge=0, le=624)]

    @classmethod
    def now(cls) -> Shuffling:
        """Return the state that the generator has."""
        state: Any = np.random.get_state(legacy=False)["state"]
        return cls(key=state["key"].tolist(), position=state["pos"])

    def restore(self) -> None:
        """Give the generator this state."""
        key = np.array(self.key, np.uint32)
        np.random.set_state(("MT19937", key, self.position, 0, 0.0))


class _Epoch(_Strict):
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float
    num_batches: Annotated[int, Field(ge=1)]


class _Record(_Strict):
    made_of: dict[str, Any]
    shuffling: Shuffling
    optimizer: Optimizer | None
    epochs: Annotated[list[_Epoch], Field(min_length=1)]
    num_params: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """How a run stands after an epoch.

    Attributes:
        made_of: what must be the same to go on to the same bits, JSON by name.
        params: ``[W1, b1, ...]``, float32.
        results: each epoch so far, with its batches; at least one.
        shuffling: what the next epoch's order is drawn from.
        optimizer: a Gluon trainer's; None without one.
    """

    made_of: dict[str, Any]
    params: list[np.ndarray]
    results: list[EpochResult]
    shuffling: Shuffling
    optimizer: Optimizer | None = None

    def to_file(self) -> tuple[bytes, bytes]:
        """Return a file's first line and the rest of it."""
        import safetensors.numpy

        record = _Record(
            made_of=self.made_of,
            shuffling=self.shuffling,
            optimizer=self.optimizer,
            epochs=[_describe(result) for result in self.results],
            num_params=len(self.params),
        )
        names = param_names(len(self.params))
        arrays = dict(zip(names, self.params, strict=True))
        arrays["batches"] = np.concatenate([_batches(r) for r in self.results])
        # safetensors writes memory as it lies, and would mix up a transposed array's.
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        arrays["record"] = np.frombuffer(record.model_dump_json().encode(), np.uint8)
        content = safetensors.numpy.save(arrays)
        line = _LINE.format(len(content), hashlib.sha256(content).hexdigest())
        return line.encode(), content


def read(path: Path) -> Checkpoint:
    """Return the checkpoint in ``path``; nothing in it is run.

    Raises:
        CheckpointError: the file is damaged, or is something else.
        OSError: it cannot be read.
    """
    path = _values.path("path", path)
    with _files.readable(path, "a checkpoint"), path.open("rb") as file:
        found = _PATTERN.fullmatch(file.readline(200))
        if found is None:
            raise CheckpointError(
                f"{path}: found another file, or a checkpoint of another version, "
                "expected a checkpoint's first line"
            )
        expected = int(found[1])
        # Not read before it is known how much there is.
        rest = os.fstat(file.fileno()).st_size - file.tell()
        if rest != expected:
            raise CheckpointError(
                f"{path}: found {rest} bytes, expected the {expected} that its first "
                "line tells of"
            )
        content = file.read(expected)
    if hashlib.sha256(content).hexdigest() != found[2].decode():
        raise CheckpointError(f"{path}: found other bytes than its checksum is of")
    try:
        return _parse(content)
    # A file may be made to look whole, and hold anything.
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: found no checkpoint in it ({cause}), expected one of this version"
        ) from None


def _parse(content: bytes) -> Checkpoint:
    import safetensors.numpy

    arrays = safetensors.numpy.load(content)
    record = _Record.model_validate_json(arrays.pop("record").tobytes())
    batches = arrays.pop("batches")
    params = [arrays.pop(name) for name in param_names(record.num_params)]
    num_batches = [epoch.num_batches for epoch in record.epochs]
    if arrays or batches.shape != (sum(num_batches), 3) or batches.dtype != np.float64:
        raise ValueError("arrays that do not belong together")
    if any(param.dtype != np.float32 for param in params):
        raise ValueError("parameters that are not float32")
    parts = np.split(batches, np.cumsum(num_batches)[:-1])
    results = [
        EpochResult(i, **epoch.model_dump(exclude={"num_batches"}), batches=part)
        for i, (epoch, part) in enumerate(zip(record.epochs, parts, strict=True), 1)
    ]
    return Checkpoint(
        record.made_of, params, results, record.shuffling, record.optimizer
    )


def _describe(result: EpochResult) -> _Epoch:
    return _Epoch(
        train_loss=result.train_loss,
        train_accuracy=result.train_accuracy,
        test_accuracy=result.test_accuracy,
        seconds=result.seconds,
        num_batches=len(_batches(result)),
    )


def _batches(result: EpochResult) -> np.ndarray:
    if result.batches is None:
        raise CheckpointError("batches: found none, expected an epoch of train_epochs")
    return result.batches
