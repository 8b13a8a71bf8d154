"""Compares a graph with the plain net that it was traced from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from mxnet import autograd, nd

from ..chapter.model import Loss, Net
from .bound import Bound
from .graph import Graph, NotTraceable

#: Largest share by which a traced gradient may differ from the eager one. Of a dead
#: net, whose sum has equal terms, oneDNN's softmax alone puts it off by up to 1.5e-5.
TOLERANCE = 2e-5
#: Mean loss from which on training has blown up (guessing ten classes costs 2.3):
#: gradients are then differences of numbers so large that no digit of them is sure.
BLOWN_UP = 100.0


@dataclass(frozen=True)
class Plain:
    """The net that a graph stands for, its loss, and its parameters by name."""

    net: Net
    loss: Loss
    params: dict[str, nd.NDArray]


class _OtherGradients(NotTraceable):
    pass


@dataclass(frozen=True)
class Verification:
    """A comparison of a graph with its plain net.

    Attributes:
        traced: the graph.
        bound: the graph in memory; its inputs are overwritten.
        plain: the net.
        weights: the parameters as they stand in the graph, by name; left as they were.
        updates: whether the graph updates its weights itself, without a trainer.
    """

    traced: Graph
    bound: Bound
    plain: Plain
    weights: dict[str, nd.NDArray]
    updates: bool

    def verify(self, X: nd.NDArray, y: nd.NDArray, first: bool) -> None:
        """Compare scores, loss and gradients with the plain net's.

        Two correct graphs may differ at a kink, as ReLU has at 0. There, rounding
        decides the gradient, and at exactly 0 the operator does: ``nd.maximum`` gives 1
        and ``Activation`` 0. This happens where all units of a layer are off and the
        next biases are still 0. A graph that is wrong is wrong for other inputs too. So
        if the gradients differ, the comparison is made again on mirrored images, and
        then with parameters that have been moved a little. One match is enough.

        Args:
            X: a batch's images.
            y: its labels.
            first: whether no other graph of this net has been verified.

        Raises:
            NotTraceable: they differ.
        """
        y.copyto(self.bound.inputs[1])
        mirrored = X.flip(axis=X.ndim - 1)
        for images, moved in ((X, False), (mirrored, False), (X, True)):
            images.copyto(self.bound.inputs[0])
            try:
                with self._moved() if moved else nullcontext():
                    self._compare_on(images, y)
            except _OtherGradients as error:
                refusal = error
            else:
                return
        if first or self.bound.loss() / y.size < BLOWN_UP:
            raise refusal

    @contextmanager
    def _moved(self) -> Iterator[None]:
        """Move each parameter by a little, in both of its places, and back."""
        params, weights = self.plain.params, self.weights
        places = [*params.values(), *weights.values()]
        before = [array.copy() for array in places]
        # A generator of its own, so that the run's stays where it is.
        random = np.random.RandomState(0)
        for name, param in params.items():
            size = 1e-3 + 0.01 * float(np.abs(param.asnumpy()).max())
            param[:] = param + nd.array(size * random.randn(*param.shape))
            if weights[name] is not param:
                weights[name][:] = self._as_graph_has(name, param)
        try:
            yield
        finally:
            for array, old in zip(places, before, strict=True):
                array[:] = old

    def _compare_on(self, X: nd.NDArray, y: nd.NDArray) -> None:
        bound, plain, weights = self.bound, self.plain, self.weights
        bound.forward(is_train=False)
        _compare("scores without training", bound.scores(), plain.net(X).asnumpy())
        if self.traced.is_random():
            # Two passes through a dropout are two different nets.
            return
        with autograd.record():
            loss_sum = plain.loss(plain.net(X), y).sum()
        loss_sum.backward()
        expected = {name: param.grad.asnumpy() for name, param in plain.params.items()}
        before = {name: weight.asnumpy() for name, weight in weights.items()}
        bound.forward(is_train=True)
        _compare("loss", np.array([bound.loss()]), loss_sum.asnumpy())
        if not self.updates:
            bound.backward()
            for name, param in plain.params.items():
                _compare("gradients", param.grad.asnumpy(), expected[name])
            return
        # Not by the learning rate, which may be too small to show a gradient.
        bound.update(-1.0)
        after = {name: weight.asnumpy() for name, weight in weights.items()}
        for name, weight in weights.items():
            weight[:] = before[name]
        for name in plain.params:
            # Infinite ones, as in training that diverges, are not compared.
            with np.errstate(invalid="ignore"):
                descent = before[name] - after[name]
            # However small the step, the sum is rounded to the weight's last bit.
            rounding = 2.0**-22 * np.abs(before[name]).max()
            descent = self._as_graph_has(name, descent)
            _compare("gradients", descent, expected[name], rounding)

    def _as_graph_has(self, name: str, array: Any) -> Any:
        """Turn a parameter, or back, if the graph has it transposed."""
        return array.T if name in self.traced.transposed else array


def _compare(
    what: str, found: np.ndarray, expected: np.ndarray, rounding: float = 0.0
) -> None:
    if not np.isfinite(expected).all():
        # The training diverges, which the loop reports.
        return
    error = np.abs(found - expected).max()
    if not error <= TOLERANCE * np.abs(expected).max() + rounding:
        refusal = _OtherGradients if what == "gradients" else NotTraceable
        raise refusal(
            f"net: found its graph off by {error:.2g} in the {what}, expected those of "
            "the plain net: does it depend on more than X and params?"
        )
