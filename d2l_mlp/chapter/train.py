"""The chapter's training: SGD, accuracy, one step, and the one loop over epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from mxnet import autograd, gluon, nd

from .. import _checks
from ..dataset.loader import Part, pairs
from . import results
from .model import Loss, Net, Params
from .results import EpochResult, num_correct, to_numpy
from .step import BY_THE_BOOK, Batches, LearningRate, Options, Step, feed


def sgd(params: Params, lr: float, batch_size: int, wd: float = 0.0) -> None:
    """Update each of ``params`` in place, by its gradient summed over a batch.

    ``param = param - lr / batch_size * param.grad``, where ``param.grad`` has the shape
    of ``param``; any dtype. With a weight decay ``wd``, ``param`` is first
    multiplied by ``1 - lr * wd``, as in MXNet's own SGD.

    Raises:
        ValueError: ``params`` are not arrays with gradients, ``batch_size`` is no
            finite number above 0, or ``lr`` or ``wd`` is negative or not finite.
    """
    params = _checks.update(params, lr, batch_size, wd)
    # Dividing lr saves a pass over the gradient: for a power of 2, to the same bits.
    factor = lr / batch_size
    for param in params:
        if wd:
            param *= 1 - lr * wd
        if param.dtype == np.float32 and 1e-9 < factor < 1e9:
            # The line below in one pass, same bits. MXNet parses lr from text, and
            # needs all its digits, and no exponent.
            text = np.format_float_positional(float(np.float32(factor)))
            nd.sgd_update(param, param.grad, lr=text, out=param)
        else:
            nd.broadcast_sub(param, factor * param.grad, out=param)


def evaluate_accuracy(data_iter: Batches, net: Net) -> float:
    """Return the share of samples, in 0..1, that ``net`` classifies correctly.

    Args:
        data_iter: batches ``(X, y)``, X of any shape ``(batch, ...)``, y ``(batch,)``.
        net: gives scores ``(batch, classes)``.

    Raises:
        ValueError: ``data_iter`` is empty, a batch does not fit ``net``, or a score is
            NaN, which is neither larger nor smaller than another.
    """
    net, correct, nans, n = _checks.checked_net(net), [], [], 0
    for X, y in _checks.each_batch("data_iter", data_iter):
        y_hat = net(X)
        correct.append(num_correct(y_hat, y))
        nans.append((y_hat != y_hat).sum())
        n += y.size
    if n == 0:
        raise ValueError("data_iter: found no batches, expected at least one")
    if found := int(to_numpy(nans).sum()):
        raise ValueError(f"net: found NaN in {found} scores, expected numbers")
    return float(to_numpy(correct).sum()) / n


@dataclass
class TrainStep(Step):
    """The book's training step. See ``train_epochs`` for its arguments."""

    net: Net
    params: Any
    loss: Loss
    batch_size: int
    lr: Any
    trainer: gluon.Trainer | None
    wd: float

    def __post_init__(self) -> None:
        self.net = _checks.checked_net(self.net)
        self.loss = _checks.checked_loss(self.loss)

    def learn(self, X: nd.NDArray, y: nd.NDArray) -> tuple[nd.NDArray, nd.NDArray]:
        """Train on a batch; return its summed loss and the number of right answers."""
        with autograd.record():
            y_hat = self.net(X)
            loss_sum = self.loss(y_hat, y).sum()
        correct = num_correct(y_hat, y)
        loss_sum.backward()
        if self.trainer is None:
            sgd(self.params, self.lr, self.batch_size, self.wd)
        else:
            self.trainer.step(self.batch_size)
        return loss_sum, correct

    def train(self, part: Part) -> list[tuple[nd.NDArray, nd.NDArray]]:
        """Train; MXNet may still be computing the results."""
        return [self.learn(X, y) for X, y in pairs(part)]

    def count(self, part: Part) -> list[nd.NDArray]:
        """Count; MXNet may still be computing the results."""
        return [num_correct(self.net(X), y) for X, y in pairs(part)]


def train_epochs(
    net: Net,
    train_iter: Batches,
    test_iter: Batches,
    loss: Loss,
    num_epochs: int,
    batch_size: int,
    params: Params | None = None,
    lr: LearningRate | None = None,
    trainer: gluon.Trainer | None = None,
    options: Options = BY_THE_BOOK,
) -> Iterator[EpochResult]:
    """Yield each epoch's result. ``gb.train_epochs`` explains and checks arguments."""
    if options.first_epoch > num_epochs:
        return
    schedule = lr if callable(lr) else None
    first_lr: Any = schedule(options.num_updates) if schedule else lr
    make_step = options.make_step or TrainStep
    step = make_step(net, params, loss, batch_size, first_lr, trainer, options.wd)
    num_updates, fastest = options.num_updates, math.inf
    try:
        for epoch in range(options.first_epoch, num_epochs + 1):
            start = time.perf_counter()
            step.pull()
            try:
                trained = _train(
                    step, train_iter, epoch, num_updates, schedule, options
                )
                tested = _test(step, test_iter, epoch, options)
            finally:
                # Whatever happens, params are never half of one state, half of another.
                step.sync()
            num_updates += len(trained)
            result = results.sum_up(epoch, trained, tested, start, options)
            results.check_loss(result, trainer.learning_rate if trainer else step.lr)
            fastest = results.warn_if_slow(result, fastest)
            yield result
    finally:
        step.end()


def _train(
    step: Step,
    train_iter: Batches,
    epoch: int,
    num_updates: int,
    schedule: Callable[[int], float] | None,
    options: Options,
) -> list[tuple]:
    """Train for an epoch; return each batch's summed loss, right answers and size."""
    # A schedule and an observer are called once per batch.
    one_by_one = bool(schedule or options.on_batch)
    trained: list[tuple] = []
    for part, sizes in feed(step, train_iter, options.seed, epoch, one_by_one):
        if schedule:
            step.lr = schedule(num_updates + len(trained))
        for sums, size in zip(step.train(part), sizes, strict=True):
            trained.append((*sums, size))
        if options.on_batch:
            options.on_batch(results.batch_result(epoch, trained, step.lr, step.sync))
    return trained


def _test(step: Step, test_iter: Batches, epoch: int, options: Options) -> list[tuple]:
    """Return each test batch's number of right answers, and its size."""
    parts = feed(step, test_iter, options.seed, epoch)
    return [pair for part, n in parts for pair in zip(step.count(part), n, strict=True)]


def train_ch3(
    net: Net,
    train_iter: Batches,
    test_iter: Batches,
    loss: Loss,
    num_epochs: int,
    batch_size: int,
    params: Params | None = None,
    lr: LearningRate | None = None,
    trainer: gluon.Trainer | None = None,
    options: Options = BY_THE_BOOK,
) -> None:
    """Train, and print the book's line after each epoch. See ``train_epochs``."""
    for result in train_epochs(
        net, train_iter, test_iter, loss, num_epochs, batch_size, params, lr, trainer,
        options,
    ):  # fmt: skip
        print(result, flush=True)
