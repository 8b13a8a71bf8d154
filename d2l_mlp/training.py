"""The one training loop, and the chapter's ``train_ch3`` on top of it.

for result in train_epochs(net, train_iter, test_iter, loss, 10, 256, params, 0.5):
    print(result)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from mxnet import MXNetError, autograd, gluon, nd

from .models import Net

Batches = Iterable[tuple[nd.NDArray, nd.NDArray]]
Loss = Callable[[nd.NDArray, nd.NDArray], nd.NDArray]


class TrainingDiverged(ArithmeticError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True)
class EpochResult:
    """What an epoch ends with; as text, the book's line.

    Attributes:
        epoch: counted from 1.
        train_loss: mean over the epoch, as the parameters were at each batch.
        train_accuracy: share in 0..1, likewise.
        test_accuracy: share in 0..1, after the epoch.
        seconds: the epoch's time, its test pass included.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}, loss {self.train_loss:.4f}, "
            f"train acc {self.train_accuracy:.3f}, test acc {self.test_accuracy:.3f}"
        )


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and MXNet's random numbers.

    NumPy's too, since Gluon shuffles with them: ``mx.random.seed`` is not enough.
    """
    from gluoncv.utils import random

    random.seed(seed)


def sgd(params: Sequence[nd.NDArray], lr: float, batch_size: int) -> None:
    """Update ``params`` in place: ``param -= lr * param.grad / batch_size``."""
    for param in params:
        param[:] = param - lr * param.grad / batch_size


def evaluate_accuracy(data_iter: Batches, net: Net) -> float:
    """Return the share of samples in ``data_iter`` that ``net`` classifies rightly.

    Raises:
        ValueError: ``data_iter`` is empty.
    """
    correct, n = [], 0
    for X, y in data_iter:
        correct.append(_count_correct(net(X), y))
        n += y.size
    if n == 0:
        raise ValueError("data_iter: found no batches, expected at least one")
    return float(_fetch(correct).sum()) / n


def train_epochs(
    net: Net,
    train_iter: Batches,
    test_iter: Batches,
    loss: Loss,
    num_epochs: int,
    batch_size: int,
    params: Sequence[nd.NDArray] | None = None,
    lr: float | None = None,
    trainer: gluon.Trainer | None = None,
    *,
    train_metric: str = "sample",
) -> Iterator[EpochResult]:
    """Train ``net`` and yield an ``EpochResult`` after each epoch.

    Args:
        net: any callable from images ``(batch, ...)`` to scores ``(batch, classes)``.
        train_iter: batches ``(X, y)`` to learn from, y in 0..classes - 1.
        test_iter: batches to measure the test accuracy with.
        loss: gives each sample's loss, as ``gluon.loss.SoftmaxCrossEntropyLoss()``.
        num_epochs: passes over ``train_iter``.
        batch_size: what the summed gradient is divided by, for every batch.
        params: arrays with gradients attached, updated by ``sgd`` with ``lr``.
        lr: learning rate, above 0.
        trainer: steps in place of ``params`` and ``lr``.
        train_metric: ``"sample"`` averages loss and accuracy over the samples;
            ``"batch"`` averages the batches' means, as gluonbook before 0.8.9 did.

    Raises:
        ValueError: an argument or a batch is not as described above.
        TrainingDiverged: the loss is NaN or infinite.
    """
    _check_arguments(num_epochs, batch_size, params, lr, trainer, train_metric)
    for epoch in range(1, num_epochs + 1):
        start = time.perf_counter()
        losses, correct, sizes = [], [], []
        for X, y in train_iter:
            with autograd.record():
                y_hat = _checked(net, X, y) if epoch == 1 else net(X)
                loss_sum = loss(y_hat, y).sum()
            loss_sum.backward()
            if trainer is not None:
                trainer.step(batch_size)
            elif params is not None and lr is not None:
                sgd(params, lr, batch_size)
            losses.append(loss_sum)
            correct.append(_count_correct(y_hat, y))
            sizes.append(y.size)
        if not sizes:
            raise ValueError("train_iter: found no batches, expected at least one")
        # Nothing is fetched before here: a number taken to Python halts the engine.
        test_accuracy = evaluate_accuracy(test_iter, net)
        train_loss, train_accuracy = (
            _mean(_fetch(sums), sizes, train_metric) for sums in (losses, correct)
        )
        if not math.isfinite(train_loss):
            raise TrainingDiverged(_diverged(epoch, train_loss, lr, trainer))
        seconds = time.perf_counter() - start
        yield EpochResult(epoch, train_loss, train_accuracy, test_accuracy, seconds)


def train_ch3(
    net: Net,
    train_iter: Batches,
    test_iter: Batches,
    loss: Loss,
    num_epochs: int,
    batch_size: int,
    params: Sequence[nd.NDArray] | None = None,
    lr: float | None = None,
    trainer: gluon.Trainer | None = None,
    *,
    train_metric: str = "sample",
) -> None:
    """Train ``net``, print the book's line after each epoch. See ``train_epochs``."""
    for result in train_epochs(
        net,
        train_iter,
        test_iter,
        loss,
        num_epochs,
        batch_size,
        params,
        lr,
        trainer,
        train_metric=train_metric,
    ):
        print(result, flush=True)


def _count_correct(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
    return (y_hat.argmax(axis=1) == y.astype("float32")).sum()


def _fetch(scalars: list[nd.NDArray]) -> np.ndarray:
    """Bring one-element arrays to NumPy at once, as float64 so that sums are exact."""
    return nd.concat(*scalars, dim=0).asnumpy().astype(np.float64)


def _mean(sums: np.ndarray, sizes: list[int], train_metric: str) -> float:
    if train_metric == "batch":
        return float(np.mean(sums / sizes))
    return float(sums.sum() / sum(sizes))


def _check_arguments(
    num_epochs: int,
    batch_size: int,
    params: Sequence[nd.NDArray] | None,
    lr: float | None,
    trainer: gluon.Trainer | None,
    train_metric: str,
) -> None:
    for name, value in (("num_epochs", num_epochs), ("batch_size", batch_size)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: found {value!r}, expected a whole number from 1")
    if train_metric not in ("sample", "batch"):
        raise ValueError(
            f"train_metric: found {train_metric!r}, expected 'sample' or 'batch'"
        )
    if trainer is not None:
        return
    if not params or lr is None:
        raise ValueError("found neither trainer nor params and lr, expected one")
    if not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"lr: found {lr}, expected a finite number above 0")
    for i, param in enumerate(params):
        if param.grad is None:
            raise ValueError(f"params[{i}]: found no gradient, call its attach_grad()")


def _checked(net: Net, X: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
    """Return ``net(X)``; hold the shapes and labels of the batch against it.

    The loss would take a label out of range for the nearest class and say nothing.
    """
    if y.ndim != 1 or X.shape[0] != y.shape[0]:
        raise ValueError(
            f"batch: found X {X.shape} and y {y.shape}, "
            "expected as many labels (n,) as images (n, ...)"
        )
    try:
        y_hat = net(X)
    except MXNetError as error:
        cause = str(error).strip().splitlines()[-1]
        raise ValueError(
            f"net: found X {X.shape}, which it cannot take: {cause}"
        ) from None
    if y_hat.ndim != 2 or y_hat.shape[0] != y.shape[0]:
        raise ValueError(
            f"net: found output {y_hat.shape} for X {X.shape}, "
            f"expected ({y.shape[0]}, classes)"
        )
    labels = y.asnumpy()
    if labels.min() < 0 or labels.max() >= y_hat.shape[1]:
        raise ValueError(
            f"labels: found {labels.min()} to {labels.max()}, "
            f"expected 0 to {y_hat.shape[1] - 1}, one for each output of the net"
        )
    return y_hat


def _diverged(
    epoch: int, train_loss: float, lr: float | None, trainer: gluon.Trainer | None
) -> str:
    rate = lr if trainer is None else trainer.learning_rate
    return (
        f"epoch {epoch}: found training loss {train_loss} at learning rate {rate}, "
        "expected a finite number: try a smaller learning rate"
    )
