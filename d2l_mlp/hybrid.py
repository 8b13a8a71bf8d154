"""A plain net function, traced once into a static graph that trains fast.

step = hybridize(net, params, loss, batch_size=256, lr=0.5)
for X, y in step.feed(train_iter):
    loss_sum, correct = step(X, y)
step.sync()                      # params hold what was learned
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mxnet import MXNetError, gluon, nd

from . import _checks, _values, graph, rewrites, verify
from .bound import Bound, bind
from .data import BatchLoader, Place
from .graph import NotTraceable, name_of

if TYPE_CHECKING:
    from .models import Loss, Net


def hybridize(
    net: Net,
    params: Sequence[nd.NDArray] | None,
    loss: Loss,
    batch_size: int,
    lr: float | None = None,
    trainer: gluon.Trainer | None = None,
    *,
    wd: float = 0.0,
    rewrite: bool = True,
) -> HybridStep:
    """Return a training step for ``net`` that runs as a static graph.

    Args:
        net: a function of NDArray operators, or a Gluon block, from images
            ``(batch, ...)`` to scores ``(batch, classes)``.
        params: its arrays, with gradients attached; a block knows its own.
        loss: gives each sample's loss.
        batch_size: what the summed gradient is divided by, for every batch.
        lr: learning rate of the step; ``step.lr`` may be changed at any time.
        trainer: updates ``params`` in place of ``lr``.
        wd: weight decay, see ``steps.sgd``.
        rewrite: put faster operators in place, see ``rewrites.rewrite``.

    Raises:
        ValueError: no parameters, no learning rate, a batch that does not fit.
        NotTraceable: at the first batch of a shape, if the net cannot be a graph, or
            if its graph does not give the gradients that the net gives.
    """
    _values.function("net", net)
    _values.function("loss", loss)
    _values.whole_number("batch_size", batch_size)
    if isinstance(net, gluon.Block):
        params = _trained_arrays(net)
    params = [] if params is None else _checks.parameters(params)
    if trainer is not None and not params:
        raise ValueError(
            "params: found none, expected those that the trainer updates, unless the "
            "net is a Gluon block"
        )
    _checks.optimizer(params, lr, trainer)
    _checks.weight_decay(wd, lr, trainer)
    return HybridStep(net, params, loss, batch_size, lr, trainer, wd, rewrite)


def _trained_arrays(block: gluon.Block) -> list[nd.NDArray]:
    parameters = block.collect_params().values()
    try:
        return [p.data() for p in parameters if p.grad_req != "null"]
    except RuntimeError as error:
        raise ValueError(
            f"net: found a parameter without values ({error}), expected the block "
            "after initialize() and one call on a batch"
        ) from None


class HybridStep:
    """A training step over static graphs, one for each shape of batch.

    Between ``pull`` and ``sync`` the step owns the parameters: some stand transposed in
    its memory, and the given arrays lag behind.

    Without a trainer it descends within the backward pass: the loss's gradient comes in
    multiplied by ``-lr / batch_size``, and the gradients are added to the weights where
    they lie. Weights whose values that pass still needs are updated after it.

    Attributes:
        lr: learning rate, None with a trainer; may be changed between steps.
    """

    def __init__(
        self,
        net: Net,
        params: list[nd.NDArray],
        loss: Loss,
        batch_size: int,
        lr: float | None,
        trainer: gluon.Trainer | None,
        wd: float,
        rewrite: bool,
    ) -> None:
        self.lr = lr
        self._wd = wd
        self._net, self._params, self._loss = net, params, loss
        self._batch_size, self._trainer, self._rewrite = batch_size, trainer, rewrite
        self._bound: dict[tuple[Any, ...], Bound] = {}
        self._placed: Bound | None = None
        self._is_random = False
        # By the graphs' names: weights that stand transposed, and gradients' memory.
        self._transposed: dict[str, nd.NDArray] = {}
        self._gradients: dict[str, nd.NDArray] = {}

    def __call__(self, X: nd.NDArray, y: nd.NDArray) -> tuple[float, int]:
        """Train on a batch; return its summed loss and the number of right answers."""
        bound = self._load(X, y)
        bound.forward(is_train=True)
        result = float(bound.outputs[0][0]), bound.count_correct()
        if self._trainer is None:
            if self.lr is None:
                raise ValueError("lr: found None, expected one without a trainer")
            bound.descend(-self.lr / self._batch_size, 1 - self.lr * self._wd)
            return result
        bound.backward()
        for param in self._params:
            # Gluon asks autograd, which knows nothing of this graph.
            param._fresh_grad = True
        self._trainer.step(self._batch_size)
        return result

    def count_correct(self, X: nd.NDArray, y: nd.NDArray) -> int:
        """Return the number of right answers in a batch, without training."""
        bound = self._load(X, y)
        bound.forward(is_train=False)
        for other in self._bound.values():
            other.pairs = None
        return bound.count_correct()

    def prepare(self, X: nd.NDArray, y: nd.NDArray) -> bool:
        """Have a graph for batches like this; tell if it draws random numbers."""
        self._load(X, y)
        return self._is_random

    def feed(self, data_iter: Iterable) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Yield the batches of ``data_iter``, a BatchLoader's in the graph's inputs.

        That saves a copy; such a batch holds until the next one is asked for.
        """
        # Not for a subclass that has its own way to give batches.
        own = type(data_iter).__iter__ is BatchLoader.__iter__
        if isinstance(data_iter, BatchLoader) and own:
            return data_iter.batches(self._place)
        return iter(data_iter)

    def pull(self) -> None:
        """Take up what ``params`` hold now; the opposite of ``sync``."""
        for param, weight in self._transposed_params():
            nd.transpose(param, out=weight)

    def sync(self) -> None:
        """Bring what was learned into ``params``; those kept transposed lag behind."""
        for param, weight in self._transposed_params():
            nd.transpose(weight, out=param)

    def _transposed_params(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Yield each parameter that stands transposed in the graphs, and its place."""
        for param in self._params:
            weight = self._transposed.get(name_of(param))
            if weight is not None:
                yield param, weight

    def _place(self, shape: tuple[int, ...]) -> Place | None:
        bound = self._bound.get((shape, shape[:1], np.float32, np.int32))
        self._placed = bound
        return None if bound is None else (bound.inputs, *bound.views)

    def _load(self, X: nd.NDArray, y: nd.NDArray) -> Bound:
        """Return the graph for batches of this shape, with the batch in its inputs."""
        bound = self._placed
        if bound is None or X is not bound.inputs[0] or y is not bound.inputs[1]:
            X, y = _checks.batch((X, y))
            key = (X.shape, y.shape, X.dtype, y.dtype)
            bound = self._bound.get(key)
            if bound is None:
                bound = self._bound[key] = self._bind(X, y)
            for source, target in zip((X, y), bound.inputs, strict=True):
                if source is not target:
                    source.copyto(target)
        nd.waitall()
        _checks.labels(bound.views[1], bound.outputs[1].shape[1])
        return bound

    def _bind(self, X: nd.NDArray, y: nd.NDArray) -> Bound:
        """Trace the net for batches of this shape, bind the graph and try it once."""
        self.sync()
        _checks.scores(self._net, X, y)
        traced = graph.trace(self._net, self._loss, self._params, X, y)
        self._is_random = traced.is_random()
        if self._rewrite:
            # A trainer knows the params as they are.
            movable = [] if self._trainer is not None else self._params
            rewrites.rewrite(traced, {name_of(param) for param in movable})
        if self._bound and traced.transposed != set(self._transposed):
            raise NotTraceable("net: found another graph for another size of batch")
        for name in traced.transposed - set(self._transposed):
            self._transposed[name] = traced.arrays[name].T.copy()
        bound = self._bind_to_memory(traced, X, y)
        params = self._params_in(traced.arrays)
        weights = {name: self._transposed.get(name, p) for name, p in params.items()}
        plain = verify.Plain(self._net, self._loss, params)
        descends = self._trainer is None
        verify.Verification(traced, bound, plain, weights, descends).verify(
            X, y, first=not self._bound
        )
        return bound

    def _params_in(self, arrays: dict[str, nd.NDArray]) -> dict[str, nd.NDArray]:
        """Return the parameters that a graph of these ``arrays`` has, by name."""
        params = {name_of(param): param for param in self._params}
        return {name: param for name, param in params.items() if name in arrays}

    def _bind_to_memory(
        self, traced: graph.Graph, X: nd.NDArray, y: nd.NDArray
    ) -> Bound:
        """Bind with weights that all shapes share, and gradients for the trainer."""
        arrays = traced.arrays | {n: self._transposed[n] for n in traced.transposed}
        params = self._params_in(arrays)
        if self._trainer is not None:
            gradients = {name: param.grad for name, param in params.items()}
            return bind(traced, arrays, gradients, set(), X, y)
        addable = rewrites.addable(traced, set(params))
        for name in set(params) - addable - set(self._gradients):
            self._gradients[name] = nd.zeros_like(arrays[name])
        gradients = {
            name: arrays[name] if name in addable else self._gradients[name]
            for name in params
        }
        try:
            return bind(traced, arrays, gradients, addable, X, y)
        except MXNetError as error:
            cause = _checks.last_line(error)
            raise NotTraceable(
                f"net: found a graph that MXNet cannot bind ({cause}), expected one "
                "whose every shape and dtype follows from X, y and params: write "
                "nd.Cast(X, dtype=...) in place of X.astype(...), which records none"
            ) from None
