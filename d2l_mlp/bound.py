"""A static graph bound to memory, for one shape of batch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import partial

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.base import _LIB, c_handle_array, check_call

from .graph import Graph

#: Elements up to which NumPy adds faster than an operator of MXNet is called.
SMALL = 2**16


@dataclass
class Bound:
    """A bound graph.

    Attributes:
        executor: MXNet's.
        inputs: the batch's X and y, in the shapes of the batch.
        views: NumPy's view of the memory of each, in the same shapes.
        outputs: NumPy's views of the summed loss ``(1,)`` and of the scores.
        heads: what the gradients of the outputs are multiplied by.
        added: weights that the backward pass updates, since it does not need them.
        large, small: weights that it does not update, and their gradients; by size.
        factor: what the loss's gradient is multiplied by.
        pairs: NumPy's views of ``small``; None if they are to be taken anew, since
            oneDNN may move a weight to compute without training.
    """

    executor: mx.executor.Executor
    inputs: tuple[nd.NDArray, nd.NDArray]
    views: tuple[np.ndarray, np.ndarray]
    outputs: list[np.ndarray]
    heads: list[nd.NDArray]
    added: list[nd.NDArray]
    large: list[tuple[nd.NDArray, nd.NDArray]]
    small: list[tuple[nd.NDArray, nd.NDArray]]
    factor: float = 1.0
    pairs: list[tuple[np.ndarray, np.ndarray]] | None = None

    def __post_init__(self) -> None:
        """Make once what the executor's own methods make at each call."""
        handle, heads, is_train = self.executor.handle, c_handle_array(self.heads), 1
        self._forward = partial(_LIB.MXExecutorForward, handle)
        self._backward = partial(
            _LIB.MXExecutorBackwardEx, handle, len(heads), heads, is_train
        )

    def forward(self, is_train: bool) -> None:
        """Compute the outputs of the batch in ``inputs``."""
        check_call(self._forward(int(is_train)))
        # NumPy reads them next.
        nd.waitall()

    def backward(self) -> None:
        """Compute the gradients, multiplied by ``heads``."""
        check_call(self._backward())
        nd.waitall()

    def descend(self, factor: float, kept: float = 1.0) -> None:
        """Multiply each weight by ``kept``, and add ``factor`` times its gradient."""
        if factor != self.factor:
            self.factor = factor
            self.heads[0][:] = factor
        if kept != 1:
            for weight in self.added:
                weight *= kept
        self.backward()
        if kept != 1:
            # Not before: the gradients need them as they were.
            for weight, _ in (*self.small, *self.large):
                weight *= kept
            nd.waitall()
        if self.pairs is None:
            self.pairs = [(_view(w), _view(g)) for w, g in self.small]
        for w, g in self.pairs:
            np.add(w, g, out=w)
        for weight, gradient in self.large:
            nd.broadcast_add(weight, gradient, out=weight)

    def count_correct(self) -> int:
        """Return the number of right answers of the last forward pass."""
        return int(np.count_nonzero(self.outputs[1].argmax(axis=1) == self.views[1]))


def bind(
    graph: Graph,
    arrays: dict[str, nd.NDArray],
    gradients: dict[str, nd.NDArray],
    added: set[str],
    X: nd.NDArray,
    y: nd.NDArray,
) -> Bound:
    """Bind ``graph`` to its ``arrays`` and to inputs of its own, like ``X`` and ``y``.

    Args:
        graph: what to bind.
        arrays: its variables but the inputs, by name.
        gradients: where the gradients go, by the names of their variables.
        added: names of those that are added to what is there, not written over it.
        X: images of a batch, for their shape, dtype and device.
        y: its labels, likewise.
    """
    symbol = graph.symbol()
    inputs = {
        graph.X: nd.zeros(graph.shapes[graph.X], dtype=X.dtype),
        graph.y: nd.zeros(y.shape, dtype=y.dtype),
    }
    requests = dict.fromkeys(symbol.list_arguments(), "null")
    requests |= dict.fromkeys(gradients, "write") | dict.fromkeys(added, "add")
    arrays = arrays | inputs
    executor = symbol.bind(
        X.context,
        [arrays[name] for name in symbol.list_arguments()],
        args_grad=gradients,
        grad_req=requests,
        aux_states=[arrays[name] for name in symbol.list_auxiliary_states()],
    )
    apart = [(arrays[name], gradients[name]) for name in set(gradients) - added]
    return Bound(
        executor,
        (inputs[graph.X].reshape(X.shape), inputs[graph.y]),
        (_view(inputs[graph.X]).reshape(X.shape), _view(inputs[graph.y])),
        [_view(output) for output in executor.outputs],
        [nd.ones(output.shape) * (i == 0) for i, output in enumerate(executor.outputs)],
        [arrays[name] for name in added],
        [pair for pair in apart if pair[0].size > SMALL],
        [pair for pair in apart if pair[0].size <= SMALL],
    )


def _view(array: nd.NDArray) -> np.ndarray:
    """Return NumPy's view of the memory of ``array``, which must outlive it."""
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    kind = np.ctypeslib.as_ctypes_type(array.dtype)
    typed = ctypes.cast(pointer, ctypes.POINTER(kind))
    return np.ctypeslib.as_array(typed, array.shape)
