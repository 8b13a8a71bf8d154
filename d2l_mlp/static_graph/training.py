"""``train_epochs`` and ``train_ch3`` of ``gb``: the chapter's, checked and hybridized.

for result in train_epochs(net, train_iter, test_iter, loss, 10, 256, params, 0.5):
    print(result)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mxnet import gluon, nd

from .. import _checks, _values
from ..chapter import train
from ..chapter.model import Loss, Net
from ..chapter.results import METRICS, EpochResult
from ..chapter.step import Batches, LearningRate, Options, Step
from ..chapter.train import TrainStep

#: What ``hybridize`` may be.
HYBRIDIZE = (True, False, "auto")


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
    hybridize: bool | str = False,
    **options: Any,
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
        trainer: makes the updates in place of ``params`` and ``lr``.
        hybridize: trace the net into a static graph, see ``hybrid.hybridize``; then
            ``params`` are brought up to date after each epoch, not after each batch.
            ``"auto"`` goes on without a graph, after a warning, if there can be none.
        options: ``wd``, ``train_metric``, ``on_batch``, ``seed``, ``first_epoch``,
            ``num_updates`` and ``reduce``, see ``chapter.step.Options``.

    Raises:
        ValueError: an argument or a batch is not as described above.
        TypeError: there is no such option.
        TrainingDiverged: the loss is NaN or infinite.
        NotTraceable: ``hybridize`` is set and the net cannot be a static graph.
    """
    return train.train_epochs(
        *_checked(
            Options(_step_maker(hybridize), **options),
            net, train_iter, test_iter, loss, num_epochs, batch_size, params, lr,
            trainer,
        )
    )  # fmt: skip


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
    train.train_ch3(
        *_checked(
            Options(_step_maker(hybridize), train_metric=train_metric),
            net, train_iter, test_iter, loss, num_epochs, batch_size, params, lr,
            trainer,
        )
    )  # fmt: skip


def _checked(options: Options, *arguments: Any) -> tuple:
    """Return the book's ``arguments``, then ``options``, as the chapter trusts them."""
    net, train_iter, test_iter, loss, num_epochs, batch_size, *rest = arguments
    params, lr, trainer = rest
    params = None if params is None else _checks.parameters(params)
    _checks.passes(
        num_epochs,
        options.first_epoch,
        options.num_updates,
        batch_size,
        options.seed,
    )
    _checks.batches("train_iter", train_iter)
    _checks.batches("test_iter", test_iter)
    _checks.observers(on_batch=options.on_batch, reduce=options.reduce)
    _values.one_of("train_metric", options.train_metric, METRICS)
    _values.function("net", net)
    _values.function("loss", loss)
    rate = None if callable(lr) else lr
    _checks.weight_decay(options.wd, rate, trainer)
    if options.make_step is None and options.first_epoch <= num_epochs:
        # A Gluon block as a graph knows its own params, see ``hybridize``.
        _checks.optimizer(params, lr, trainer)
    schedule = _checked_schedule(lr, options.wd) if callable(lr) else lr
    return (
        net, train_iter, test_iter, loss, num_epochs, batch_size, params, schedule,
        trainer, options,
    )  # fmt: skip


def _checked_schedule(
    schedule: Callable[[int], float], wd: float
) -> Callable[[int], float]:
    """Return ``schedule``; each learning rate that it gives is checked."""

    def checked(num_updates: int) -> float:
        lr = _values.positive("lr", schedule(num_updates))
        _checks.weight_decay(wd, lr)
        return lr

    return checked


def _step_maker(hybridize: bool | str) -> Callable[..., Step] | None:
    """Return what makes the step for ``hybridize``; None for the chapter's."""
    if not _values.one_of("hybridize", hybridize, HYBRIDIZE):
        return None
    # Here, since the compiler that it wants takes half a second to load.
    from .auto import AutoStep
    from .hybrid import take_kept

    if hybridize != "auto":
        return take_kept

    def make_both(net: Net, params: Any, *rest: Any) -> Step:
        graph = take_kept(net, params, *rest)
        # A Gluon block's own params are those that the graph has found.
        return AutoStep(graph, TrainStep(net, graph.params, *rest))

    return make_both
