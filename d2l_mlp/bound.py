"""A static graph bound to memory, for one shape of batch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

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
        views: NumPy's view of the memory of each input.
        outputs: NumPy's views of the summed loss ``(1,)`` and of the scores.
        heads: what the gradients of the outputs are multiplied by.
        added: weights that the backward pass updates, since it does not need them.
        separate: weights that it does not update, and their gradients.
        factor: what the loss's gradient is multiplied by.
        pairs: NumPy's views of ``separate``; None if they are to be taken anew, since
            oneDNN may move a weight to compute without training.
    """

    executor: mx.executor.Executor
    inputs: tuple[nd.NDArray, nd.NDArray]
    views: tuple[np.ndarray, np.ndarray]
    outputs: list[np.ndarray]
    heads: list[nd.NDArray]
    added: list[nd.NDArray]
    separate: list[tuple[nd.NDArray, nd.NDArray]]
    factor: float = 1.0
    pairs: list[tuple[np.ndarray, np.ndarray]] | None = None

    def __post_init__(self) -> None:
        """Make once what the executor's own method makes of ``heads`` at each call."""
        self._head_handles = c_handle_array(self.heads)

    def forward(self, is_train: bool) -> None:
        """Compute the outputs of the batch in ``inputs``."""
        # The executor's own method makes new handles of its outputs at each call.
        check_call(_LIB.MXExecutorForward(self.executor.handle, int(is_train)))
        nd.waitall()

    def scale_loss(self, factor: float) -> None:
        """Multiply the loss's gradient by ``factor`` from now on."""
        if factor != self.factor:
            self.factor = factor
            self.heads[0][:] = factor

    def backward(self) -> None:
        """Compute the gradients, multiplied by ``heads``."""
        handles, is_train = self._head_handles, 1
        check_call(
            _LIB.MXExecutorBackwardEx(
                self.executor.handle, len(handles), handles, is_train
            )
        )
        # NumPy reads and writes the same memory next.
        nd.waitall()

    def shrink(self, weights: list[nd.NDArray], factor: float) -> None:
        """Multiply each of ``weights`` by ``factor``."""
        if factor != 1:
            for weight in weights:
                weight *= factor

    def add_gradients(self) -> None:
        """Add to each of the ``separate`` weights its gradient."""
        if self.pairs is None:
            self.pairs = [(_view(w), _view(g)) for w, g in self.separate]
        for (weight, gradient), (w, g) in zip(self.separate, self.pairs, strict=True):
            if w.size <= SMALL:
                np.add(w, g, out=w)
            else:
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
    return Bound(
        executor,
        (inputs[graph.X].reshape(X.shape), inputs[graph.y]),
        (_view(inputs[graph.X]), _view(inputs[graph.y])),
        [_view(output) for output in executor.outputs],
        [nd.ones(output.shape) * (i == 0) for i, output in enumerate(executor.outputs)],
        [arrays[name] for name in added],
        [(arrays[name], gradients[name]) for name in set(gradients) - added],
    )


def _view(array: nd.NDArray) -> np.ndarray:
    """Return NumPy's view of the memory of ``array``, which must outlive it."""
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    kind = np.ctypeslib.as_ctypes_type(array.dtype)
    typed = ctypes.cast(pointer, ctypes.POINTER(kind))
    return np.ctypeslib.as_array(typed, array.shape)
