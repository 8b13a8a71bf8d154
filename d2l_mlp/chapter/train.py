"""The one training loop, and the chapter's ``train_ch3`` on top of it.

for result in train_epochs(net, train_iter, test_iter, loss, 10, 256, params, 0.5):
    print(result)
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from mxnet import gluon, nd

from .. import _checks, _values
from .model import Loss, Net
from .results import BatchResult as BatchResult
from .results import EpochResult as EpochResult
from .results import averages, check_metric
from .steps import Batches, EagerStep, Step, fed, make_step
from .steps import sgd as sgd

#: One for all updates, or by the number of updates so far.
LearningRate = float | Callable[[int], float]

#: How many images a static graph may take without a stop at Python, in whole batches.
#: A stop after each of the chapter's costs 6 % of an epoch, after every 32 of them 0.5.
IMAGES_AT_ONCE = 8192


class TrainingDiverged(ArithmeticError):
    """The training loss is no longer a finite number."""


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and MXNet's random numbers.

    NumPy's too, since Gluon shuffles with them: ``mx.random.seed`` is not enough.

    Args:
        seed: 0 to 2**31 - 1.

    Raises:
        ValueError: ``seed`` is out of that range.
    """
    from gluoncv.utils import random

    random.seed(_values.seed(seed))


def evaluate_accuracy(data_iter: Batches, net: Net) -> float:
    """Return the share of samples, in 0..1, that ``net`` classifies rightly.

    Args:
        data_iter: batches ``(X, y)``, X of any shape ``(batch, ...)``, y ``(batch,)``.
        net: gives scores ``(batch, classes)``.

    Raises:
        ValueError: ``data_iter`` is empty, a batch does not fit ``net``, or a score is
            NaN, which is in no order.
    """
    _checks.batches("data_iter", data_iter)
    _values.function("net", net)
    unordered = []

    def watched(X: nd.NDArray) -> nd.NDArray:
        y_hat = net(X)
        if isinstance(y_hat, nd.NDArray):
            unordered.append((y_hat != y_hat).sum())
        return y_hat

    correct, n = _count_all(data_iter, EagerStep(watched))
    if n == 0:
        raise ValueError("data_iter: found no batches, expected at least one")
    if found := int(_fetch(unordered).sum()):
        raise ValueError(f"net: found NaN in {found} scores, expected numbers")
    return float(_fetch(correct).sum()) / n


def train_epochs(
    net: Net,
    train_iter: Batches,
    test_iter: Batches,
    loss: Loss,
    num_epochs: int,
    batch_size: int,
    params: Iterable[nd.NDArray] | None = None,
    lr: LearningRate | None = None,
    trainer: gluon.Trainer | None = None,
    *,
    wd: float = 0.0,
    train_metric: str = "sample",
    hybridize: bool | str = False,
    on_batch: Callable[[BatchResult], None] | None = None,
    seed: int | None = None,
    first_epoch: int = 1,
    num_updates: int = 0,
    reduce: Callable[[np.ndarray], np.ndarray] | None = None,
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
        lr: learning rate, above 0; or a function that gives it, called before each
            update with the number of updates so far, as MXNet's schedulers are.
        trainer: steps in place of ``params`` and ``lr``.
        wd: weight decay: the share of ``params``, times ``lr``, lost at each update.
        train_metric: ``"sample"`` averages loss and accuracy over the samples;
            ``"batch"`` averages the batches' means, as gluonbook before 0.8.9 did.
        hybridize: trace the net into a static graph, see ``hybrid.hybridize``; then
            ``params`` are brought up to date after each epoch, not after each batch.
            ``"auto"`` goes on without a graph, after a warning, if there can be none.
        on_batch: is told of each batch when it has been learnt from; the engine is
            halted for it. What it raises ends the training.
        seed: of the random numbers in the net, as dropout draws, which then hang on
            it, the epoch and the batch alone; by default they are what comes next.
        first_epoch: the one to go on with, of a training taken up again.
        num_updates: how many there were before it.
        reduce: where several workers each see a share of every batch: is given an
            epoch's sums over this one's, float64, and returns those over all.

    Raises:
        ValueError: an argument or a batch is not as described above.
        TrainingDiverged: the loss is NaN or infinite.
        NotTraceable: ``hybridize`` is set and the net cannot be a static graph.
    """
    params = None if params is None else _checks.parameters(params)
    _checks.passes(num_epochs, first_epoch, num_updates, batch_size, seed)
    _checks.batches("train_iter", train_iter)
    _checks.batches("test_iter", test_iter)
    _checks.observers(on_batch=on_batch, reduce=reduce)
    check_metric(train_metric)
    if first_epoch > num_epochs:
        # A schedule has nothing for an update that there will not be.
        return
    schedule = lr if callable(lr) else None
    first_lr = _values.positive("lr", lr(num_updates)) if callable(lr) else lr
    step = make_step(net, params, loss, batch_size, first_lr, trainer, hybridize, wd)
    # A schedule and an observer want their turn at each batch.
    at_once = IMAGES_AT_ONCE if schedule is None and on_batch is None else 1
    fastest = math.inf
    try:
        for epoch in range(first_epoch, num_epochs + 1):
            start = time.perf_counter()
            trained = []
            step.pull()
            try:
                for part, sizes in fed(step, train_iter, seed, epoch, at_once):
                    if schedule is not None:
                        step.lr = _values.positive("lr", schedule(num_updates))
                    for sums, size in zip(step.train(part), sizes, strict=True):
                        trained.append((*sums, size))
                    num_updates += len(sizes)
                    if on_batch is not None:
                        on_batch(_batch_result(epoch, trained, step))
                tested = _count_all(test_iter, step, seed, epoch)
            finally:
                # Whatever happens, params are never half of one state, half of another.
                step.sync()
            batches, test_accuracy = _sum_up(epoch, trained, *tested, reduce)
            train_loss, train_accuracy = averages(batches, train_metric)
            if not math.isfinite(train_loss):
                rate = trainer.learning_rate if trainer else step.lr
                raise TrainingDiverged(
                    f"epoch {epoch}: found training loss {train_loss} at learning rate "
                    f"{rate}, expected a finite number: try a smaller learning rate"
                )
            seconds = time.perf_counter() - start
            fastest = _warn_if_slow(epoch, seconds, fastest)
            yield EpochResult(
                epoch, train_loss, train_accuracy, test_accuracy, seconds, batches
            )
    finally:
        step.end()


def _warn_if_slow(epoch: int, seconds: float, fastest: float) -> float:
    """Tell once of an epoch that was slowed down; return the fastest one's seconds."""
    if fastest > 0 and seconds > max(3 * fastest, fastest + 1):
        warnings.warn(
            f"epoch {epoch} took {seconds:.1f} s, the fastest one {fastest:.1f} s: "
            "other programs keep the processors busy, or heat or a battery slows them "
            "down. The results are the same. Close what computes beside; if "
            "OMP_NUM_THREADS is above 1, unset it",
            stacklevel=3,
        )
        return 0.0
    return min(fastest, seconds)


def train_ch3(
    net: Net,
    train_iter: Batches,
    test_iter: Batches,
    loss: Loss,
    num_epochs: int,
    batch_size: int,
    params: Iterable[nd.NDArray] | None = None,
    lr: LearningRate | None = None,
    trainer: gluon.Trainer | None = None,
    *,
    train_metric: str = "sample",
    hybridize: bool | str = False,
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
        hybridize=hybridize,
    ):
        print(result, flush=True)


def _batch_result(epoch: int, trained: list[tuple], step: Step) -> BatchResult:
    *sums, size = trained[-1]
    loss, accuracy = (_fetch([value])[0] / size for value in sums)
    return BatchResult(epoch, len(trained), loss, accuracy, step.lr, step.sync)


def _count_all(
    data_iter: Batches, step: Step, seed: int | None = None, epoch: int = 0
) -> tuple[list, int]:
    """Return each batch's number of right answers, and the number of samples."""
    correct, n = [], 0
    for part, sizes in fed(step, data_iter, seed, epoch, IMAGES_AT_ONCE):
        correct += step.count(part)
        n += sum(sizes)
    return correct, n


def _sum_up(
    epoch: int,
    trained: list[tuple],
    test_correct: list,
    test_size: int,
    reduce: Callable[[np.ndarray], np.ndarray] | None,
) -> tuple[np.ndarray, float]:
    """Return an epoch's batches, as ``EpochResult`` has them, and the test accuracy."""
    _check_passes(epoch, train_iter=len(trained), test_iter=test_size)
    losses, correct, sizes = zip(*trained, strict=True)
    # The one stop: a number taken to Python halts the engine until it is there.
    sums = _fetch([*losses, *correct, *test_correct])
    test_sums = sums[2 * len(sizes) :].sum(), test_size
    sums = np.concatenate([sums[: 2 * len(sizes)], sizes, test_sums])
    if reduce is not None:
        sums = _checks.same_shape("reduce", reduce(sums), sums)
    batches = np.ascontiguousarray(sums[:-2].reshape(3, -1).T)
    return batches, float(sums[-2] / sums[-1])


def _fetch(scalars: list) -> np.ndarray:
    """Bring one-element arrays to NumPy at once, as float64 so that sums are exact."""
    if isinstance(scalars[0], nd.NDArray):
        scalars = nd.concat(*scalars, dim=0).asnumpy()
    return np.asarray(scalars, np.float64)


def _check_passes(epoch: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if size == 0:
            raise ValueError(
                f"{name}: found no batches in epoch {epoch}, expected at least one at "
                "each pass: a list or a loader, which starts anew, not a generator"
            )
