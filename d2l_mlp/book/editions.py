"""The outputs that the book's editions printed, each with its settings and source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from .. import _files, _values
from ..chapter.results import EpochResult
from ..runs.settings import BatchSize, LearningRate, Metric, NumHiddens, Settings

CHAPTER = "chapter"
LINEAR = "softmax-zh-2018-12"


@dataclass(frozen=True)
class Edition:
    """A published run.

    Attributes:
        id: short name.
        title: what was published.
        source: where it was published.
        train_metric: how it averaged the training columns, see ``train_epochs``.
        num_hiddens: units of each hidden layer; none for softmax regression.
        batch_size: images a batch.
        lr: learning rate.
        epochs: ``(train_loss, train_accuracy, test_accuracy)`` of each epoch.
    """

    id: str
    title: str
    source: str
    train_metric: Metric
    num_hiddens: tuple[int, ...]
    batch_size: int
    lr: float
    epochs: tuple[tuple[float, float, float], ...]

    @property
    def model(self) -> tuple[tuple[int, ...], int, float]:
        """The settings of its runs; equal for editions that share their runs."""
        return self.num_hiddens, self.batch_size, self.lr

    def differences(self, settings: Settings) -> list[str]:
        """Say where ``settings`` differ from those that the numbers stand for."""
        chapter = Settings(self.num_hiddens, self.lr, self.batch_size)
        names = (
            "num_hiddens",
            "batch_size",
            "lr",
            "scale",
            "schedule",
            "dropout",
            "wd",
        )
        return [
            f"{name} {found} (the book: {printed})"
            for name in names
            if (found := getattr(settings, name)) != (printed := getattr(chapter, name))
        ]

    def beside(self, result: EpochResult) -> str:
        """Return the epoch's line, followed by the book's three numbers."""
        if result.epoch > len(self.epochs):
            return str(result)
        loss, train_accuracy, test_accuracy = self.epochs[result.epoch - 1]
        return f"{result}  book {loss:.4f} {train_accuracy:.3f} {test_accuracy:.3f}"


Accuracy = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Entry(BaseModel):
    id: Annotated[str, Field(min_length=1)]
    title: str
    source: str
    train_metric: Metric
    hidden_units: NumHiddens
    batch_size: BatchSize
    lr: LearningRate
    epochs: Annotated[tuple[tuple[Loss, Accuracy, Accuracy], ...], Field(min_length=1)]


class _File(BaseModel):
    editions: Annotated[list[_Entry], Field(min_length=1)]


def models_of(editions: Iterable[Edition]) -> list[list[Edition]]:
    """Group the editions that share their runs."""
    groups: dict[tuple, list[Edition]] = {}
    for edition in editions:
        groups.setdefault(edition.model, []).append(edition)
    return list(groups.values())


class EditionError(ValueError):
    """A file of published runs is not as expected; the message says where."""


def load_editions(path: Path | None = None) -> dict[str, Edition]:
    """Return the published runs by id, the chapter's first.

    Args:
        path: a file of other runs, in the format of ``editions.json`` in this folder.

    Raises:
        EditionError: the file is not in that format.
        OSError: it cannot be read.
    """
    own = Path(__file__).with_name("editions.json")
    path = own if path is None else _values.path("path", path)
    with _files.readable(path, "printed numbers, in the format of editions.json"):
        content = path.read_bytes()
    try:
        entries = _File.model_validate_json(content).editions
    except ValidationError as error:
        first = error.errors()[0]
        where = ", ".join(map(str, first["loc"])) or "the file"
        raise EditionError(
            f"{path}: found {str(first['input'])[:60]!r} at {where}: {first['msg']}"
        ) from None
    editions = {
        entry.id: Edition(
            num_hiddens=entry.hidden_units, **entry.model_dump(exclude={"hidden_units"})
        )
        for entry in entries
    }
    if len(editions) < len(entries):
        raise EditionError(f"{path}: found two editions of one id, expected one")
    return editions
