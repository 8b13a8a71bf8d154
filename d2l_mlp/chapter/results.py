"""What training yields: an epoch's numbers, and a batch's."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from mxnet import nd

from .. import _checks, _values

if TYPE_CHECKING:
    from .step import Options

#: Ways to average loss and accuracy over an epoch, see ``step.Options``.
METRICS = ("sample", "batch")


@dataclass(frozen=True)
class EpochResult:
    """What an epoch ends with; as text, the book's line.

    Attributes:
        epoch: counted from 1.
        train_loss: mean over the epoch, each batch measured before its update.
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


class TrainingDiverged(ArithmeticError):
    """The training loss is no longer a finite number."""


def averages(batches: np.ndarray, train_metric: str) -> tuple[float, float]:
    """Return the mean loss and accuracy of ``EpochResult.batches``.

    Raises:
        ValueError: ``train_metric`` is neither ``"sample"`` nor ``"batch"``.
    """
    _values.one_of("train_metric", train_metric, METRICS)
    losses, correct, sizes = batches.T
    if train_metric == "batch":
        return float(np.mean(losses / sizes)), float(np.mean(correct / sizes))
    return float(losses.sum() / sizes.sum()), float(correct.sum() / sizes.sum())


def num_correct(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
    """Return how many samples have their largest score at their label, as an array.

    Args:
        y_hat: scores ``(batch, classes)``.
        y: labels ``(batch,)``.

    Raises:
        ValueError: a label is no class. The loss would take the nearest one for it.
    """
    # Waits for the labels, which the loader has ready, not for the net.
    _checks.labels(y.asnumpy(), y_hat.shape[1])
    return (y_hat.argmax(axis=1) == y.astype(y_hat.dtype)).sum()


def batch_result(
    epoch: int, trained: list[tuple], lr: float | None, sync: Callable[[], None]
) -> BatchResult:
    """Return the result of the last batch in ``trained``, once it is computed."""
    loss_sum, correct, size = trained[-1]
    loss, accuracy = (to_numpy([each])[0] / size for each in (loss_sum, correct))
    return BatchResult(epoch, len(trained), loss, accuracy, lr, sync)


def sum_up(
    epoch: int,
    trained: list[tuple],
    tested: list[tuple],
    start: float,
    options: Options,
) -> EpochResult:
    """Return an epoch's result, once it is computed.

    Args:
        epoch: counted from 1.
        trained: each batch's summed loss, number of right answers and size.
        tested: each test batch's number of right answers and size.
        start: when the epoch began, by ``time.perf_counter``.
        options: how it was trained.

    Raises:
        ValueError: there was no batch.
    """
    for name, passed in (("train_iter", trained), ("test_iter", tested)):
        if not passed:
            raise ValueError(
                f"{name}: found no batches in epoch {epoch}, expected at least one at "
                "each pass: a list or a loader, which starts anew, not a generator"
            )
    losses, correct, sizes = zip(*trained, strict=True)
    test_correct, test_sizes = zip(*tested, strict=True)
    # The epoch's only wait: copying to NumPy blocks until all is computed.
    sums = to_numpy([*losses, *correct, *test_correct])
    sums, test_sum = np.split(sums, [2 * len(sizes)])
    sums = np.concatenate([sums, sizes, [test_sum.sum(), sum(test_sizes)]])
    if options.reduce is not None:
        sums = _checks.same_shape("reduce", options.reduce(sums), sums)
    batches = np.ascontiguousarray(sums[:-2].reshape(3, -1).T)
    train = averages(batches, options.train_metric)
    test_accuracy = float(sums[-2] / sums[-1])
    seconds = time.perf_counter() - start
    return EpochResult(epoch, *train, test_accuracy, seconds, batches)


def to_numpy(scalars: list) -> np.ndarray:
    """Bring one-element arrays to NumPy at once, as float64 so that sums are exact."""
    if isinstance(scalars[0], nd.NDArray):
        scalars = nd.concat(*scalars, dim=0).asnumpy()
    return np.asarray(scalars, np.float64)


def check_loss(result: EpochResult, lr: float | None) -> None:
    """Raise ``TrainingDiverged`` where the loss is NaN or infinite."""
    if not math.isfinite(result.train_loss):
        raise TrainingDiverged(
            f"epoch {result.epoch}: found training loss {result.train_loss} at "
            f"learning rate {lr}, expected a finite number: try a smaller learning rate"
        )


def warn_if_slow(result: EpochResult, fastest: float) -> float:
    """Warn once of an epoch that was slowed down; return the fastest one's seconds."""
    seconds = result.seconds
    if fastest > 0 and seconds > max(3 * fastest, fastest + 1):
        warnings.warn(
            f"epoch {result.epoch} took {seconds:.1f} s, the fastest one {fastest:.1f} "
            "s: other programs keep the processors busy, or heat or a battery slows "
            "them down. The results are the same. Close what computes beside it; if "
            "OMP_NUM_THREADS is above 1, unset it",
            stacklevel=3,
        )
        return 0.0
    return min(fastest, seconds)
