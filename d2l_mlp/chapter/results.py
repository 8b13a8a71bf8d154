"""What training yields: an epoch's numbers, and a batch's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .._values import shown


@dataclass(frozen=True)
class EpochResult:
    """What an epoch ends with; as text, the book's line.

    Attributes:
        epoch: counted from 1.
        train_loss: mean over the epoch, as the parameters were at each batch.
        train_accuracy: share in 0..1, likewise.
        test_accuracy: share in 0..1, after the epoch.
        seconds: the epoch's time, its test pass included.
        batches: float64 ``(batches, 3)``: each one's summed loss, its number of right
            answers and its size.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float
    batches: np.ndarray | None = field(default=None, repr=False, compare=False)

    def averaged(self, train_metric: str) -> tuple[float, float]:
        """Return training loss and accuracy as another ``train_metric`` has them.

        Raises:
            ValueError: the epoch's batches were not kept, or another ``train_metric``.
        """
        if self.batches is None:
            raise ValueError("batches: found none, expected an epoch of train_epochs")
        return averages(self.batches, train_metric)

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}, loss {self.train_loss:.4f}, "
            f"train acc {self.train_accuracy:.3f}, test acc {self.test_accuracy:.3f}"
        )


@dataclass(frozen=True)
class BatchResult:
    """What a batch ends with.

    Attributes:
        epoch: counted from 1.
        batch: counted from 1 in each epoch.
        loss: mean over the batch, before the update.
        accuracy: share in 0..1, likewise.
        lr: learning rate of the update; None with a trainer.
        sync: brings ``params`` up to date in the middle of an epoch, where a static
            graph holds what was learned.
    """

    epoch: int
    batch: int
    loss: float
    accuracy: float
    lr: float | None
    sync: Callable[[], None] = field(repr=False, compare=False)


def averages(batches: np.ndarray, train_metric: str) -> tuple[float, float]:
    """Return the mean loss and accuracy of ``EpochResult.batches``.

    Raises:
        ValueError: another ``train_metric`` than ``train_epochs`` knows, or no batches.
    """
    check_metric(train_metric)
    if (
        not isinstance(batches, np.ndarray)
        or batches.shape[1:] != (3,)
        or not batches.size
    ):
        raise ValueError(f"batches: found {shown(batches)}, expected (batches, 3)")
    losses, correct, sizes = batches.T
    if train_metric == "batch":
        return float(np.mean(losses / sizes)), float(np.mean(correct / sizes))
    return float(losses.sum() / sizes.sum()), float(correct.sum() / sizes.sum())


def check_metric(train_metric: str) -> None:
    """Refuse what is no way to average."""
    if train_metric not in ("sample", "batch"):
        raise ValueError(
            f"train_metric: found {train_metric!r}, expected 'sample' or 'batch'"
        )
