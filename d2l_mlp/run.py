"""A run: settings in, a seeded net and its epochs out. Every observer starts here.

run = Run(Settings(num_hiddens=(256,), lr=0.5, seed=1))
for result in run.epochs():
    print(result)
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import mxnet
import numpy as np
from mxnet import gluon, nd

from .data import BatchLoader, load_data_fashion_mnist
from .models import Net, gluon_twin, init_params, make_net
from .steps import Loss
from .training import (
    BatchResult,
    EpochResult,
    LearningRate,
    seed_everything,
    train_epochs,
)


def describe_layers(num_hiddens: Sequence[int]) -> str:
    """Return a net's sizes as text, ``"784-256-10"`` for one hidden layer of 256."""
    return "-".join(map(str, (784, *num_hiddens, 10)))


@dataclass(frozen=True)
class Settings:
    """What a run is made of; the defaults are the chapter's.

    Attributes:
        num_hiddens: units of each hidden layer; ``()`` for softmax regression.
        lr: learning rate.
        batch_size: images a batch.
        num_epochs: passes over the training images.
        seed: for ``seed_everything``, 0 to 2**31 - 1.
        use_gluon: train Gluon's twin of the net, with a Gluon trainer.
        train_metric: how training columns are averaged, see ``train_epochs``.
        hybridize: train a static graph of the net, see ``train_epochs``.
        scale: standard deviation of the first weights.
    """

    num_hiddens: tuple[int, ...] = (256,)
    lr: float = 0.5
    batch_size: int = 256
    num_epochs: int = 10
    seed: int = 0
    use_gluon: bool = False
    train_metric: str = "sample"
    hybridize: bool = False
    scale: float = 0.01

    def __str__(self) -> str:
        kind = ", by Gluon" if self.use_gluon else ""
        kind += ", hybridized" if self.hybridize else ""
        return (
            f"net {describe_layers(self.num_hiddens)}{kind}, lr {self.lr:g}, "
            f"batch size {self.batch_size}, {self.num_epochs} epochs"
        )


class Run:
    """One seeded run.

    Args:
        settings: what it is made of.
        data: its batches, for training and for the test; loaded if not given.

    Attributes:
        settings: what it is made of.
        train_iter, test_iter: its batches.
        params: the arrays that it trains, ``[W1, b1, ...]``.
        net: images ``(batch, 1, 28, 28)`` to scores ``(batch, 10)``.
        loss: of each sample, from scores and labels.

    Raises:
        DataError: the data cannot be found, fetched or trusted.
        ValueError: a setting out of its range.
    """

    def __init__(
        self, settings: Settings, data: tuple[BatchLoader, BatchLoader] | None = None
    ) -> None:
        self.settings = settings
        self.train_iter, self.test_iter = data or load_data_fashion_mnist(
            settings.batch_size
        )
        seed_everything(settings.seed)
        self.params = init_params(settings.num_hiddens, scale=settings.scale)
        self.net: Net = make_net(self.params)
        self.loss: Loss = gluon.loss.SoftmaxCrossEntropyLoss()
        if settings.use_gluon:
            self.net = gluon_twin(self.params)

    def epochs(
        self,
        on_batch: Callable[[BatchResult], None] | None = None,
        lr: LearningRate | None = None,
        trainer: gluon.Trainer | None = None,
        reduce: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Iterator[EpochResult]:
        """Train, and yield each epoch's result. See ``train_epochs``.

        Args:
            on_batch: is told of each batch.
            lr: a schedule in place of the settings' learning rate.
            trainer: updates ``arrays`` in place of the run's own way.
            reduce: adds up an epoch's sums over several workers.
        """
        settings = self.settings
        return train_epochs(
            self.net,
            self.train_iter,
            self.test_iter,
            self.loss,
            settings.num_epochs,
            settings.batch_size,
            self.params,
            lr or settings.lr,
            trainer or self._trainer,
            train_metric=settings.train_metric,
            hybridize=settings.hybridize,
            on_batch=on_batch,
            reduce=reduce,
        )

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
        layers = [layer for layer in self.net if hasattr(layer, "weight")]  # type: ignore[attr-defined]
        return [
            array
            for layer in layers
            for array in (layer.weight.data().T, layer.bias.data())
        ]

    def predict(self, n: int = 9) -> tuple[nd.NDArray, np.ndarray, np.ndarray]:
        """Return the first ``n`` test images, their labels and the net's answers.

        Images are float32 ``(n, 1, 28, 28)`` in [0, 1], labels ``(n,)``.
        """
        test = self.test_iter
        X, y = next(iter(BatchLoader(test.images[:n], test.labels[:n], n)))
        return X, y.asnumpy(), self.net(X).argmax(axis=1).asnumpy()

    @cached_property
    def _trainer(self) -> gluon.Trainer | None:
        if not self.settings.use_gluon:
            return None
        parameters = self.net.collect_params()  # type: ignore[attr-defined]
        return gluon.Trainer(parameters, "sgd", {"learning_rate": self.settings.lr})


def headline(seed: int | str, release: str | None) -> str:
    """Say in one line what a run stands on.

    The same line, settings and kind of processor give the same bits again.
    """
    return (
        f"seed {seed}, Fashion-MNIST {release}, mxnet {mxnet.__version__}, "
        f"numpy {np.__version__}, Python {platform.python_version()}"
    )
