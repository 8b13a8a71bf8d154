"""A run: settings in, a seeded net and its epochs out. Every observer starts here.

run = Run(Settings(num_hiddens=(256,), lr=0.5, seed=1))
for result in run.epochs():
    print(result)
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import mxnet
import numpy as np
from mxnet import gluon, nd

from .. import _values
from ..chapter.model import (
    Loss,
    Net,
    dense_layers,
    draw_params,
    net_of,
    set_params,
    twin_of,
)
from ..chapter.results import BatchResult, EpochResult
from ..chapter.step import LearningRate, seed_everything
from ..dataset.fashion_mnist import BatchLoader, load_data_fashion_mnist
from ..static_graph.training import train_epochs
from .schedules import make_schedule as make_schedule
from .settings import Settings as Settings
from .settings import describe_layers as describe_layers


class WorkerGroup(Protocol):
    """Other processes that train the same run."""

    def make_trainer(self, run: Run) -> Any:
        """Return what updates the run's ``arrays``, in the place of a Gluon trainer."""

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of float64 ``values`` over all of them."""


class Run:
    """One seeded run.

    Args:
        settings: what it is made of.
        data: its batches, for training and for the test; loaded if not given.
        workers: other processes that train it too.

    Attributes:
        settings: what it is made of.
        train_iter, test_iter: its batches.
        params: the arrays that it trains, ``[W1, b1, ...]``.
        lr: learning rate, or its schedule.
        net: images ``(batch, 1, 28, 28)`` to scores ``(batch, 10)``.
        loss: of each sample, from scores and labels.
        earlier: the epochs before a resumed run's own, see ``resuming.restore``.

    Raises:
        DataError: the data cannot be found, fetched or trusted.
        ValueError: no ``Settings``, or no pair of ``BatchLoader``.
    """

    def __init__(
        self,
        settings: Settings,
        data: tuple[BatchLoader, BatchLoader] | None = None,
        workers: WorkerGroup | None = None,
    ) -> None:
        self.settings = _values.instance("settings", settings, Settings)
        self.workers = workers
        if data is None:
            data = load_data_fashion_mnist(settings.batch_size)
        self.train_iter, self.test_iter = _check_data(data)
        seed_everything(settings.seed)
        self.params = draw_params((784, *settings.num_hiddens, 10), settings.scale)
        self.net: Net = net_of(self.params, settings.dropout)
        self.loss: Loss = gluon.loss.SoftmaxCrossEntropyLoss()
        self.lr = self._schedule()
        if settings.use_gluon:
            self.net = twin_of(self.params, settings.dropout)
        self.earlier: list[EpochResult] = []

    def epochs(
        self,
        on_batch: Callable[[BatchResult], None] | None = None,
        lr: LearningRate | None = None,
    ) -> Iterator[EpochResult]:
        """Train, and yield the result of each epoch after ``earlier``.

        Args:
            on_batch: is told of each batch, see ``train_epochs``.
            lr: another schedule than the settings'; not with Gluon, or workers.

        Raises:
            ValueError: ``lr`` is given where it would not be used, or an argument is
                not as ``train_epochs`` wants it.
        """
        settings = self.settings
        if lr is not None and (self.trainer or self.workers):
            raise ValueError("lr: found a schedule beside a trainer, which has its own")
        return train_epochs(
            self.net,
            self.train_iter,
            self.test_iter,
            self.loss,
            settings.num_epochs,
            settings.batch_size,
            self.params,
            self.lr if lr is None else lr,
            self.trainer if self.workers is None else self.workers.make_trainer(self),
            wd=0.0 if self.trainer or self.workers else settings.wd,
            train_metric=settings.train_metric,
            hybridize=settings.hybridize,
            on_batch=on_batch,
            # Each of several workers draws numbers of its own.
            seed=settings.seed + (self.train_iter.part[0] << 31),
            first_epoch=len(self.earlier) + 1,
            num_updates=self.num_updates,
            reduce=None if self.workers is None else self.workers.sum,
        )

    @property
    def num_updates(self) -> int:
        """How many updates ``earlier`` had."""
        return sum(len(r.batches) for r in self.earlier if r.batches is not None)

    @property
    def arrays(self) -> list[nd.NDArray]:
        """Return what it trains: ``params``, or the arrays that Gluon's twin has."""
        if not self.settings.use_gluon:
            return self.params
        parameters = self.net.collect_params().values()  # type: ignore[attr-defined]
        return [parameter.data() for parameter in parameters]

    def trained(self) -> list[nd.NDArray]:
        """Return the parameters as ``[W1, b1, ...]``, of Gluon's twin too."""
        if not self.settings.use_gluon:
            return self.params
        return [
            array
            for layer in dense_layers(self.net)
            for array in (layer.weight.data().T, layer.bias.data())
        ]

    def load(self, arrays: Sequence[np.ndarray]) -> None:
        """Take over ``[W1, b1, ...]``, as ``trained`` of any kind of run gives them.

        Raises:
            ValueError: they are not arrays of numbers of this net's shapes.
        """
        arrays = _values.each("params", arrays, np.ndarray, "NumPy arrays")
        for i, array in enumerate(arrays):
            if array.dtype.kind not in "fiu":
                raise ValueError(f"params[{i}]: found {array.dtype}, expected numbers")
        found = _values.shapes(arrays)
        expected = [param.shape for param in self.params]
        if found != expected:
            raise ValueError(f"params: found shapes {found}, expected {expected}")
        for param, array in zip(self.params, arrays, strict=True):
            param[:] = array
        if self.settings.use_gluon:
            set_params(self.net, self.params)

    def predict(self, n: int = 9) -> tuple[nd.NDArray, np.ndarray, np.ndarray]:
        """Return the first ``n`` test images, their labels and the net's answers.

        Images are float32 ``(n, 1, 28, 28)`` in [0, 1], labels ``(n,)``.

        Raises:
            ValueError: ``n`` is no whole number above 0.
        """
        n = _values.whole_number("n", n)
        test = self.test_iter
        X, y = next(iter(BatchLoader(test.images[:n], test.labels[:n], n)))
        return X, y.asnumpy(), self.net(X).argmax(axis=1).asnumpy()

    def _schedule(self, first_update: int = 0) -> LearningRate:
        settings = self.settings
        num_updates = settings.num_epochs * len(self.train_iter)
        return make_schedule(settings.schedule, settings.lr, num_updates, first_update)

    @cached_property
    def trainer(self) -> gluon.Trainer | None:
        """Gluon's, with plain SGD; None for the hand-written net."""
        if not self.settings.use_gluon:
            return None
        parameters = self.net.collect_params()  # type: ignore[attr-defined]
        options: dict[str, Any] = {
            "learning_rate": self.settings.lr,
            "wd": self.settings.wd,
        }
        if callable(self.lr):
            # MXNet's optimizers count the update that they are about to make.
            options["lr_scheduler"] = self._schedule(first_update=1)
        return gluon.Trainer(parameters, "sgd", options)


def _check_data(data: Any) -> tuple[BatchLoader, BatchLoader]:
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        found = _values.brief(data)
        raise ValueError(f"data: found {found}, expected (train_iter, test_iter)")
    for name, loader in zip(("train_iter", "test_iter"), data, strict=True):
        _values.instance(name, loader, BatchLoader)
    return data[0], data[1]


def headline(seed: int | str, release: str | None) -> str:
    """Say in one line what a run stands on.

    The same line and settings, on the same kind and number of processors, give the
    same bits again.
    """
    return (
        f"seed {seed}, Fashion-MNIST {release}, mxnet {mxnet.__version__}, "
        f"numpy {np.__version__}, Python {platform.python_version()}"
    )
