"""One training step: the book's, or the same as a static graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import mxnet
import numpy as np
from mxnet import autograd, gluon, nd

from .. import _checks, _values
from ..dataset.chunk import Chunk, Part, pairs
from ..static_graph.graph import NotTraceable
from .model import Loss, Net

Batches = Iterable[tuple[nd.NDArray, nd.NDArray]]


class Step(Protocol):
    """A way to train on batches, and to count right answers.

    Attributes:
        lr: learning rate, None with a trainer; may be changed between batches.
    """

    lr: float | None

    def train(self, part: Part) -> list[tuple[Any, Any]]:
        """Train on each batch; return its summed loss and number of right answers."""

    def count(self, part: Part) -> list[Any]:
        """Return each batch's number of right answers, without training."""

    def feed(self, data_iter: Batches, num_images: int) -> Iterable[Part]:
        """Return the batches of ``data_iter``, up to ``num_images`` at a time."""

    def prepare(self, part: Part) -> bool:
        """Make ready for such batches; tell if the net may draw random numbers."""

    def pull(self) -> None:
        """Take up what the parameters hold now."""

    def sync(self) -> None:
        """Bring what was learned into the parameters."""

    def end(self) -> None:
        """Leave what the next training can use again."""


def sgd(
    params: Sequence[nd.NDArray], lr: float, batch_size: int, wd: float = 0.0
) -> None:
    """Update each of ``params`` in place, by its gradient summed over a batch.

    ``param = param - lr / batch_size * param.grad``, where ``param.grad`` has the shape
    of ``param``; any dtype. With a weight decay ``wd``, ``param`` loses ``lr * wd`` of
    itself as well, as in MXNet's own SGD.

    Dividing ``lr`` and not the gradient saves a pass over it; the bits are the same
    where ``batch_size`` is a power of 2.

    Raises:
        ValueError: ``params`` are not arrays with gradients, ``batch_size`` is no
            finite number above 0, or ``lr`` or ``wd`` none from 0 on.
    """
    params = _checks.parameters(params)
    if not params:
        raise ValueError("params: found none, expected at least one array")
    _values.positive("batch_size", batch_size)
    for name, value in (("lr", lr), ("wd", wd)):
        _values.not_negative(name, value)
    factor = lr / batch_size
    # MXNet takes it as text, which it reads rightly without an exponent and with a
    # double's digits; of texts with a float32's, from 1 to 2, it reads 1 in 9 wrong.
    readable = 1e-9 < factor < 1e9
    for param in params:
        if wd:
            param *= 1 - lr * wd
        if readable and param.dtype == np.float32:
            # The same bits as below, in one pass in place of two.
            text = np.format_float_positional(float(np.float32(factor)))
            nd.sgd_update(param, param.grad, lr=text, out=param)
        else:
            nd.broadcast_sub(param, factor * param.grad, out=param)


class EagerStep:
    """The step that the book takes: record, go back, descend."""

    def __init__(
        self,
        net: Net,
        loss: Loss | None = None,
        params: Sequence[nd.NDArray] | None = None,
        batch_size: int = 1,
        lr: float | None = None,
        trainer: gluon.Trainer | None = None,
        wd: float = 0.0,
    ) -> None:
        self.lr = lr
        self._wd = wd
        self._net, self._loss, self._params = net, loss, params
        self._batch_size, self._trainer = batch_size, trainer

    def train(self, part: Part) -> list[tuple[nd.NDArray, nd.NDArray]]:
        """Train; what is returned is still in the engine."""
        return [self._learn(X, y) for X, y in pairs(part)]

    def count(self, part: Part) -> list[nd.NDArray]:
        """Count; what is returned is still in the engine."""
        return [self._count(_checks.scores(self._net, X, y), y) for X, y in pairs(part)]

    def feed(self, data_iter: Batches, num_images: int) -> Batches:
        """Return ``data_iter`` itself."""
        return data_iter

    def prepare(self, part: Part) -> bool:
        """Do nothing; what a plain function draws cannot be known."""
        return True

    def pull(self) -> None:
        """Do nothing: the parameters are what it trains."""

    def sync(self) -> None:
        """Do nothing: the parameters are what it trains."""

    def end(self) -> None:
        """Do nothing: there is nothing to use again."""

    def _learn(self, X: nd.NDArray, y: nd.NDArray) -> tuple[nd.NDArray, nd.NDArray]:
        assert self._loss is not None
        with autograd.record():
            y_hat = _checks.scores(self._net, X, y)
            loss_sum = _checks.losses(self._loss(y_hat, y)).sum()
        loss_sum.backward()
        if self._trainer is not None:
            self._trainer.step(self._batch_size)
        else:
            assert self._params is not None and self.lr is not None
            sgd(self._params, self.lr, self._batch_size, self._wd)
        return loss_sum, self._count(y_hat, y)

    def _count(self, y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
        return (y_hat.argmax(axis=1) == y.astype(y_hat.dtype)).sum()


class AutoStep:
    """A step over a graph as long as there can be one, then, warned of, the eager."""

    def __init__(self, graph: Step, eager: Step) -> None:
        self.step, self.eager = graph, eager

    @property
    def lr(self) -> float | None:
        """Learning rate, None with a trainer."""
        return self.step.lr

    @lr.setter
    def lr(self, value: float | None) -> None:
        self.step.lr = self.eager.lr = value

    def train(self, part: Part) -> list[tuple[float, int]]:
        """Train."""
        trained = self._try(lambda step: step.train(part))
        return [(_number(loss_sum), int(_number(n))) for loss_sum, n in trained]

    def count(self, part: Part) -> list[int]:
        """Count."""
        return [int(_number(n)) for n in self._try(lambda step: step.count(part))]

    def feed(self, data_iter: Batches, num_images: int) -> Iterable[Part]:
        """Return the batches as the step at hand wants them."""
        return self.step.feed(data_iter, num_images)

    def prepare(self, part: Part) -> bool:
        """Make ready for batches like these."""
        return self._try(lambda step: step.prepare(part))

    def pull(self) -> None:
        """Take up what the parameters hold now."""
        self.step.pull()

    def sync(self) -> None:
        """Bring what was learned into the parameters."""
        self.step.sync()

    def end(self) -> None:
        """Leave what the next training can use again."""
        self.step.end()

    def _try(self, take: Callable[[Step], Any]) -> Any:
        try:
            return take(self.step)
        except NotTraceable as error:
            warnings.warn(f"going on without a graph: {error}", stacklevel=4)
            self.step.sync()
            self.step = self.eager
            return take(self.step)


def fed(
    step: Step, data_iter: Batches, seed: int | None, epoch: int, num_images: int
) -> Iterator[tuple[Part, list[int]]]:
    """Yield batch after batch, or several at once, and the size of each.

    MXNet's random numbers are seeded, if asked to, where batches of another shape
    begin, once the step is ready for these: to trace a graph draws random numbers too,
    and a process that takes up a training traces in another epoch than the one that
    began it.

    Args:
        step: what takes the batches.
        data_iter: where they come from.
        seed: makes, with the epoch and the batch, what MXNet is seeded with; or None.
        epoch: counted from 1.
        num_images: how many the step may take at once; at least one batch.
    """
    last, batch = None, 0
    for part in step.feed(data_iter, num_images):
        if isinstance(part, Chunk):
            kind: Any = part.shape
            sizes = [part.shape[0]] * len(part)
        else:
            part = X, y = _checks.batch(part)
            kind, sizes = (X.shape, X.dtype, y.dtype), [y.size]
        if seed is not None and kind != last:
            last = kind
            if step.prepare(part):
                mixed = np.random.SeedSequence([seed, epoch, batch])
                # MXNet takes an int32.
                mxnet.random.seed(int(mixed.generate_state(1)[0] >> 1))
        batch += len(sizes)
        yield part, sizes


def make_step(
    net: Net,
    params: list[nd.NDArray] | None,
    loss: Loss,
    batch_size: int,
    lr: float | None,
    trainer: gluon.Trainer | None,
    hybridize: bool | str,
    wd: float = 0.0,
) -> Step:
    """Return the step that ``train_epochs`` is to take; see its arguments.

    Raises:
        ValueError: no function, no parameters, no learning rate, another ``hybridize``,
            or a ``wd`` that is no weight decay or would not be used.
    """
    _values.function("net", net)
    _values.function("loss", loss)
    _checks.weight_decay(wd, lr, trainer)
    check_hybridize(hybridize)
    eager = EagerStep(net, loss, params, batch_size, lr, trainer, wd)
    if hybridize:
        # Here, since the compiler that it wants takes half a second to load.
        from ..static_graph.hybrid import take_kept

        graph = take_kept(net, params, loss, batch_size, lr, trainer, wd)
        return AutoStep(graph, eager) if hybridize == "auto" else graph
    _checks.optimizer(params, lr, trainer)
    return eager


def check_hybridize(hybridize: bool | str) -> None:
    """Refuse what is no way to train a static graph, or none."""
    if hybridize not in (True, False, "auto"):
        raise ValueError(
            f"hybridize: found {hybridize!r}, expected True, False or 'auto'"
        )


def _number(value: Any) -> float:
    return value.asscalar() if isinstance(value, nd.NDArray) else value
