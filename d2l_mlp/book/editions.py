"""The outputs that the book's editions printed, each with its settings and source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..run import Settings
from ..training import EpochResult

CHAPTER = "chapter"
LINEAR = "softmax-zh-2018-12"


@dataclass(frozen=True)
class Edition:
    """A published run.

    Attributes:
        id: short name.
        title: what was published.
        source: where it stands.
        train_metric: how it averaged the training columns, see ``train_epochs``.
        num_hiddens: units of each hidden layer; none for softmax regression.
        batch_size: images a batch.
        lr: learning rate.
        epochs: ``(train_loss, train_accuracy, test_accuracy)`` of each epoch.
    """

    id: str
    title: str
    source: str
    train_metric: str
    num_hiddens: tuple[int, ...]
    batch_size: int
    lr: float
    epochs: tuple[tuple[float, float, float], ...]

    def differences(self, settings: Settings) -> list[str]:
        """Say where ``settings`` are not this edition's, which no number then tests."""
        return [
            f"{name} {found} (the book: {printed})"
            for name in ("num_hiddens", "batch_size", "lr")
            if (found := getattr(settings, name)) != (printed := getattr(self, name))
        ]

    def beside(self, result: EpochResult) -> str:
        """Return the epoch's line, and behind it the three numbers printed here."""
        if result.epoch > len(self.epochs):
            return str(result)
        loss, train_accuracy, test_accuracy = self.epochs[result.epoch - 1]
        return f"{result}  book {loss:.4f} {train_accuracy:.3f} {test_accuracy:.3f}"


def load_editions() -> dict[str, Edition]:
    """Return the published runs by id, the chapter's first."""
    text = Path(__file__).with_name("editions.json").read_text(encoding="utf-8")
    return {
        entry["id"]: Edition(
            id=entry["id"],
            title=entry["title"],
            source=entry["source"],
            train_metric=entry["train_metric"],
            num_hiddens=tuple(entry["hidden_units"]),
            batch_size=entry["batch_size"],
            lr=entry["lr"],
            epochs=tuple(tuple(row) for row in entry["epochs"]),
        )
        for entry in json.loads(text)["editions"]
    }
