"""A static graph bound to memory, for one shape of batch."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from functools import partial

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.base import _LIB, c_handle_array, check_call

from . import _checks
from .chunk import Chunk
from .graph import Graph, NotTraceable

try:
    from . import compiled
except (ImportError, OSError):
    # Without the extra "fast", or where numba, or its library, does not load.
    compiled = None  # type: ignore[assignment]

#: For how long Python, and so Ctrl-C, waits for compiled code, in seconds; but never
#: less than one batch.
MOMENT = 0.1


@dataclass
class Bound:
    """A bound graph.

    Attributes:
        executor: MXNet's.
        inputs: the batch's X and y, in the shapes of the batch.
        views: NumPy's view of the memory of each, in the same shapes.
        outputs: NumPy's views of the summed loss ``(1,)`` and of the scores.
        heads: what the gradients of the outputs are multiplied by.
        weights: what it trains, each with its gradient.
    """

    executor: mx.executor.Executor
    inputs: tuple[nd.NDArray, nd.NDArray]
    views: tuple[np.ndarray, np.ndarray]
    outputs: list[np.ndarray]
    heads: list[nd.NDArray]
    weights: list[tuple[nd.NDArray, nd.NDArray]]

    def __post_init__(self) -> None:
        """Make once what is the same at each call."""
        handle, num_heads, is_train = self.executor.handle, len(self.heads), 1
        heads = c_handle_array(self.heads)
        self._forward = partial(_LIB.MXExecutorForward, handle)
        self._backward = partial(
            _LIB.MXExecutorBackwardEx, handle, num_heads, heads, is_train
        )
        # How many batches are likely to take a moment, by whether they are learnt from.
        self._at_once = {False: 1, True: 1}
        if compiled is not None:
            X, y = self.views
            X = X.reshape(len(X), -1)
            where = handle.value, ctypes.addressof(heads), num_heads
            factor = _view(self.heads[0])
            self._memory = compiled.Memory(*where, factor, X, y, *self.outputs)

    def run(
        self,
        chunk: Chunk,
        is_train: bool,
        factor: float | None = None,
        kept: float = 1.0,
    ) -> tuple[list[float], list[int]]:
        """Take a chunk's batches through the graph, in compiled code if that can be.

        Args:
            chunk: batches of this graph's shape.
            is_train: whether the forward pass is one of training.
            factor: to go back and descend after each, see ``descend``; or None.
            kept: see ``descend``.

        Returns:
            Each batch's summed loss, and its number of right answers.

        Raises:
            ValueError: a label beyond the net's outputs; the batches before count.
        """
        known = all(weight.dtype == np.float32 for weight, _ in self.weights)
        if compiled is not None and (known or factor is None):
            return self._run_compiled(chunk, is_train, factor, kept)
        losses, correct = [], []
        for batch in chunk.orders:
            chunk.write(batch, *self.views)
            self.check_labels()
            self.forward(is_train)
            losses.append(float(self.outputs[0][0]))
            correct.append(self.count_correct())
            if factor is not None:
                self.descend(factor, kept)
        return losses, correct

    def _run_compiled(
        self, chunk: Chunk, is_train: bool, factor: float | None, kept: float
    ) -> tuple[list[float], list[int]]:
        losses, correct = np.empty(len(chunk)), np.empty(len(chunk), np.int64)
        descends, data = factor is not None, (chunk.images, chunk.labels)
        factors = 1.0 if factor is None else float(factor), float(kept)
        start = 0
        while start < len(chunk):
            part = slice(start, start + self._at_once[descends])
            where = self._memory, self._weights(none=not descends)
            results = losses[part], correct[part]
            begun = time.perf_counter()
            status = compiled.run(
                *where,
                *data,
                chunk.orders[part],
                is_train,
                descends,
                *factors,
                *results,
            )
            if status == compiled.BAD_LABELS:
                self.check_labels()
            check_call(status)
            seconds = time.perf_counter() - begun
            if seconds < MOMENT / 2 and self._at_once[descends] < len(chunk):
                self._at_once[descends] *= 2
            elif seconds > MOMENT:
                self._at_once[descends] = max(self._at_once[descends] // 2, 1)
            start = part.stop
        return losses.tolist(), correct.tolist()

    def check_labels(self) -> None:
        """Refuse labels in ``inputs`` that are beyond the scores."""
        _checks.labels(self.views[1], self.outputs[1].shape[1])

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
        if np.float32(factor) != _view(self.heads[0])[0]:
            self.heads[0][:] = factor
        self.backward()
        for weight, gradient in self.weights:
            if kept != 1:
                weight *= kept
            nd.broadcast_add(weight, gradient, out=weight)

    def count_correct(self) -> int:
        """Return the number of right answers of the last forward pass."""
        return int(np.count_nonzero(self.outputs[1].argmax(axis=1) == self.views[1]))

    def _weights(self, none: bool) -> compiled.Weights:
        """Say where the weights lie; oneDNN moves some to compute without training."""
        weights = [] if none else self.weights
        table = [(_address(w), _address(g), w.size) for w, g in weights]
        return compiled.Weights(*np.array(table, np.int64).reshape(-1, 3).T.copy())


def bind(
    graph: Graph,
    arrays: dict[str, nd.NDArray],
    gradients: dict[str, nd.NDArray],
    X: nd.NDArray,
    y: nd.NDArray,
) -> Bound:
    """Bind ``graph`` to its ``arrays`` and to inputs of its own, like ``X`` and ``y``.

    Args:
        graph: what to bind.
        arrays: its variables but the inputs, by name.
        gradients: where the gradients go, by the names of their variables.
        X: images of a batch, for their shape, dtype and device.
        y: its labels, likewise.

    Raises:
        NotTraceable: the loss or the scores are neither float32 nor float64.
    """
    symbol = graph.symbol()
    inputs = {
        graph.X: nd.zeros(graph.shapes[graph.X], dtype=X.dtype),
        graph.y: nd.zeros(y.shape, dtype=y.dtype),
    }
    requests = dict.fromkeys(symbol.list_arguments(), "null")
    requests |= dict.fromkeys(gradients, "write")
    arrays = arrays | inputs
    executor = symbol.bind(
        X.context,
        [arrays[name] for name in symbol.list_arguments()],
        args_grad=gradients,
        grad_req=requests,
        aux_states=[arrays[name] for name in symbol.list_auxiliary_states()],
    )
    for output in executor.outputs:
        if output.dtype not in (np.float32, np.float64):
            raise NotTraceable(
                f"net: found {np.dtype(output.dtype)} from it or its loss, expected "
                "float32 or float64: write nd.Cast(..., dtype='float32') at its end"
            )
    heads = [
        nd.ones(output.shape) * (i == 0) for i, output in enumerate(executor.outputs)
    ]
    # An engine with threads of its own makes memory for them when it gets there.
    nd.waitall()
    return Bound(
        executor,
        (inputs[graph.X].reshape(X.shape), inputs[graph.y]),
        (_view(inputs[graph.X]).reshape(X.shape), _view(inputs[graph.y])),
        [_view(output) for output in executor.outputs],
        heads,
        [(arrays[name], gradient) for name, gradient in gradients.items()],
    )


def _view(array: nd.NDArray) -> np.ndarray:
    """Return NumPy's view of the memory of ``array``, which must outlive it."""
    kind = np.ctypeslib.as_ctypes_type(array.dtype)
    typed = ctypes.cast(_address(array), ctypes.POINTER(kind))
    return np.ctypeslib.as_array(typed, array.shape)


def _address(array: nd.NDArray) -> int:
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0
