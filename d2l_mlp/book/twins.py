"""The net by hand compared with its twins: Gluon's layers and gluonbook's loop."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mxnet import gluon, nd

from ..chapter.model import gluon_twin, init_params, make_net
from ..chapter.step import seed_everything
from ..dataset.fashion_mnist import BatchLoader, FashionMNIST, make_loaders
from ..static_graph.training import train_epochs

BATCH_SIZE, LR = 256, 0.5
Batches = BatchLoader | list[tuple[nd.NDArray, nd.NDArray]]


@dataclass(frozen=True)
class Twin:
    """The largest differences between the net by hand and a twin.

    Attributes:
        name: the twin.
        num_batches: batches that both were trained on, from the same initial weights.
        loss: of the mean loss over these batches.
        gradient: of any element of the last batch's gradient, divided by its size.
        parameter: of any element of the parameters in the end.
    """

    name: str
    num_batches: int
    loss: float
    gradient: float
    parameter: float


class _Kept:
    """A loss that keeps its values."""

    def __init__(self) -> None:
        self._loss = gluon.loss.SoftmaxCrossEntropyLoss()
        self.seen: list[nd.NDArray] = []

    def __call__(self, y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
        value = self._loss(y_hat, y)
        self.seen.append(value)
        return value

    def mean(self) -> float:
        return float(np.mean(np.concatenate([value.asnumpy() for value in self.seen])))


def compare_twins(data: FashionMNIST) -> list[Twin]:
    """Train each twin on one batch and for one epoch, and compare it.

    After one batch the differences come from the arithmetic. After an epoch they have
    grown, at the chapter's learning rate of 0.5. Without gluonbook, which only the
    tests need, its rows are left out.
    """
    ways = {"Gluon nn.Sequential": _by_gluon}
    with contextlib.suppress(ImportError):
        import gluonbook  # noqa: F401

        ways["gluonbook train_ch3"] = _by_gluonbook
    twins = []
    for num_batches in (1, len(make_loaders(data, BATCH_SIZE)[0])):
        by_hand = _train(_by_hand, data, num_batches)
        for name, way in ways.items():
            twin = _train(way, data, num_batches)
            pairs = zip(by_hand, twin, strict=True)
            twins.append(Twin(name, num_batches, *(_largest(a, b) for a, b in pairs)))
    return twins


def _largest(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def _train(
    way: Callable[[Batches, _Kept], tuple[list[np.ndarray], list[np.ndarray]]],
    data: FashionMNIST,
    num_batches: int,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Return the loss, the last gradients and the parameters that ``way`` ends with."""
    train_iter, _ = make_loaders(data, BATCH_SIZE)
    seed_everything(0)
    batches: Batches = train_iter
    if num_batches == 1:
        batches = [next(iter(train_iter))]
    loss = _Kept()
    gradients, params = way(batches, loss)
    size = len(loss.seen[-1])
    return [np.array(loss.mean())], [g / size for g in gradients], params


def _by_hand(batches: Batches, loss: _Kept):
    params = init_params()
    list(
        train_epochs(make_net(params), batches, _SOME, loss, 1, BATCH_SIZE, params, LR)
    )
    return [p.grad.asnumpy() for p in params], [p.asnumpy() for p in params]


def _by_gluon(batches: Batches, loss: _Kept):
    twin = gluon_twin(init_params())
    trainer = gluon.Trainer(twin.collect_params(), "sgd", {"learning_rate": LR})
    list(train_epochs(twin, batches, _SOME, loss, 1, BATCH_SIZE, trainer=trainer))
    params = [p for layer in twin for p in (layer.weight, layer.bias)]
    # A layer of Gluon keeps its weights as (outputs, inputs).
    return (
        [p.grad().asnumpy().T for p in params],
        [p.data().asnumpy().T for p in params],
    )


def _by_gluonbook(batches: Batches, loss: _Kept):
    import gluonbook

    params = init_params()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gluonbook.train_ch3(
            make_net(params), batches, _SOME, loss, 1, BATCH_SIZE, params, LR
        )
    return [p.grad.asnumpy() for p in params], [p.asnumpy() for p in params]


#: Test data for the loops; the accuracy is not used.
_SOME = [(nd.zeros((1, 1, 28, 28)), nd.zeros((1,), dtype="int32"))]
