"""A static graph bound to memory, for one shape of batch."""

from __future__ import annotations

import ctypes
import os
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.base import _LIB, c_handle_array, check_call

from .. import _checks
from ..dataset.loader import Chunk
from .graph import Graph, NotTraceable

try:
    from . import compiled
except (ImportError, OSError):
    # Without the extra "fast", or where numba, or its library, does not load.
    compiled = None  # type: ignore[assignment]

#: Seconds that compiled code may run before Python, and so Ctrl-C, has its turn. It
#: always takes at least one batch.
MOMENT = 0.1
#: Images times weights from which on a batch is cut in two. The chapter's batch has 52
#: million; of a batch of 32, which has 6.5, two threads make nothing faster.
LARGE = 10**7


def num_pieces(num_images: int, num_weights: int) -> int:
    """Return in how many pieces a batch goes through the graph, 1 or 2.

    The number depends on the work alone, never on the processors, so that every machine
    adds in the same order. It is at most 2: each piece costs some 0.1 ms a step beside
    its products, and the chapter's batch in quarters takes a fifth longer.
    """
    return 2 if num_images > 1 and num_images * num_weights >= LARGE else 1


@dataclass
class Piece:
    """A part of a batch, and a graph bound for it.

    Attributes:
        rows: where it stands in the batch.
        executor: MXNet's.
        outputs: NumPy's views of the summed loss ``(1,)`` and of the scores.
        heads: what the gradients of the outputs are multiplied by.
        gradients: of each weight, in the order of the weights.
    """

    rows: slice
    executor: mx.executor.Executor
    outputs: list[np.ndarray]
    heads: list[nd.NDArray]
    gradients: list[nd.NDArray]

    def __post_init__(self) -> None:
        """Make once what is the same at each call."""
        handle, num_heads, is_train = self.executor.handle, len(self.heads), 1
        self.handles = c_handle_array(self.heads)
        self.forward = partial(_LIB.MXExecutorForward, handle)
        self.backward = partial(
            _LIB.MXExecutorBackwardEx, handle, num_heads, self.handles, is_train
        )


@dataclass
class Bound:
    """A bound graph.

    Attributes:
        inputs: the batch's X and y, in the shapes of the batch.
        views: NumPy's view of the memory of each, in the same shapes.
        pieces: the parts of the batch, each with its graph.
        weights: what it trains.
    """

    inputs: tuple[nd.NDArray, nd.NDArray]
    views: tuple[np.ndarray, np.ndarray]
    pieces: list[Piece]
    weights: list[nd.NDArray]

    def __post_init__(self) -> None:
        """Make once what is the same at each call."""
        # How many batches are likely to take a moment, by whether they are learnt from.
        self._at_once = {False: 1, True: 1}
        self._classes = self.pieces[0].outputs[1].shape[1]
        if compiled is not None:
            self._memory = self._lay_out()

    def run(
        self,
        chunk: Chunk,
        is_train: bool,
        scale: float | None = None,
        decay: float = 1.0,
    ) -> tuple[list[float], list[int]]:
        """Take a chunk's batches through the graph, in compiled code if that can be.

        Args:
            chunk: batches of this graph's shape.
            is_train: whether the forward pass is one of training.
            scale: to go back and update after each, see ``update``; or None.
            decay: see ``update``.

        Returns:
            Each batch's summed loss, and its number of right answers.

        Raises:
            ValueError: a label beyond the net's outputs; the batches before count.
        """
        known = all(weight.dtype == np.float32 for weight in self.weights)
        if compiled is not None and (known or scale is None):
            return self._run_compiled(chunk, is_train, scale, decay)
        losses, correct = [], []
        for batch in chunk.indices:
            chunk.write(batch, *self.views)
            self.check_labels()
            self.forward(is_train)
            losses.append(self.loss())
            correct.append(self.count_correct())
            if scale is not None:
                self.update(scale, decay)
        return losses, correct

    def _run_compiled(
        self, chunk: Chunk, is_train: bool, scale: float | None, decay: float
    ) -> tuple[list[float], list[int]]:
        shape, updates = (len(chunk), len(self.pieces)), scale is not None
        losses, correct = np.empty(shape), np.empty(shape, np.int64)
        fitting = chunk.num_fitting(self._classes)
        if scale is not None:
            self._set_scale(scale)
        start = 0
        while start < fitting:
            part = slice(start, min(start + self._at_once[updates], fitting))
            begun = time.perf_counter()
            compiled.run(
                self._memory,
                self._weights(none=not updates),
                chunk.images,
                chunk.labels,
                chunk.indices[part],
                is_train,
                updates,
                float(decay),
                losses[part],
                correct[part],
            )
            seconds = time.perf_counter() - begun
            if seconds < MOMENT / 2 and self._at_once[updates] < len(chunk):
                self._at_once[updates] *= 2
            elif seconds > MOMENT:
                self._at_once[updates] = max(self._at_once[updates] // 2, 1)
            start = part.stop
        if fitting < len(chunk):
            _checks.labels(chunk.labels[chunk.indices[fitting]], self._classes)
        return losses.sum(axis=1).tolist(), correct.sum(axis=1).tolist()

    def check_labels(self) -> None:
        """Refuse labels in ``inputs`` that are beyond the scores."""
        _checks.labels(self.views[1], self._classes)

    def forward(self, is_train: bool) -> None:
        """Compute the outputs of the batch in ``inputs``."""
        for piece in self.pieces:
            check_call(piece.forward(int(is_train)))
        # NumPy reads them next.
        nd.waitall()

    def loss(self) -> float:
        """Return the last forward pass's summed loss."""
        return float(sum(float(piece.outputs[0][0]) for piece in self.pieces))

    def scores(self) -> np.ndarray:
        """Return the last forward pass's scores ``(batch, classes)``."""
        return np.concatenate([piece.outputs[1] for piece in self.pieces])

    def count_correct(self) -> int:
        """Return the number of right answers of the last forward pass."""
        return int(np.count_nonzero(self.scores().argmax(axis=1) == self.views[1]))

    def backward(self) -> None:
        """Compute the gradients, times ``heads``, in place of the first piece's."""
        for piece in self.pieces:
            check_call(piece.backward())
        for piece in self.pieces[1:]:
            for total, gradient in zip(
                self.pieces[0].gradients, piece.gradients, strict=True
            ):
                nd.broadcast_add(total, gradient, out=total)
        nd.waitall()

    def update(self, scale: float, decay: float = 1.0) -> None:
        """Multiply each weight by ``decay``, and add ``scale`` times its gradient."""
        self._set_scale(scale)
        self.backward()
        for weight, gradient in zip(
            self.weights, self.pieces[0].gradients, strict=True
        ):
            if decay != 1:
                weight *= decay
            nd.broadcast_add(weight, gradient, out=weight)

    def _set_scale(self, scale: float) -> None:
        for piece in self.pieces:
            if np.float32(scale) != _view(piece.heads[0])[0]:
                piece.heads[0][:] = scale
        nd.waitall()

    def _lay_out(self) -> compiled.Memory:
        """Say where the graph reads and writes."""
        X, y = self.views
        losses, scores = zip(*(piece.outputs for piece in self.pieces), strict=True)
        stops = [piece.rows.stop for piece in self.pieces]
        return compiled.Memory(
            np.array([piece.executor.handle.value for piece in self.pieces]),
            np.array([ctypes.addressof(piece.handles) for piece in self.pieces]),
            len(self.pieces[0].heads),
            np.array([0, *stops]),
            X.reshape(len(X), -1),
            y,
            np.array([loss.ctypes.data for loss in losses]),
            np.array([score.ctypes.data for score in scores]),
            self._classes,
            scores[0].dtype == np.float64,
        )

    def _weights(self, none: bool) -> compiled.Weights:
        """Say where the weights lie; oneDNN moves some to compute without training."""
        weights = [] if none else self.weights
        gradients = [[] if none else piece.gradients for piece in self.pieces]
        return compiled.Weights(
            np.array([_address(weight) for weight in weights], np.int64),
            np.array([[_address(g) for g in each] for each in gradients], np.int64),
            np.array([weight.size for weight in weights], np.int64),
        )


class OwnThread:
    """A thread for binding, that nobody else binds in while ``owner`` lives.

    MXNet gives graphs that one thread binds the same memory for passing results, so
    that these may not run at the same time. It never gives that memory back (5 MB a
    thread), so threads are used again.
    """

    _unused: list[ThreadPoolExecutor] = []

    def __init__(self, owner: Any) -> None:
        self._owner, self._pid = weakref.ref(owner), -1

    def run(self, function: Callable, *args: Any) -> Any:
        """Return what ``function`` returns in that thread."""
        if self._pid != os.getpid():
            # At first; or in a forked process, which has none of its parent's threads.
            self._pool, self._pid = self._take(), os.getpid()
            owner = self._owner()
            weakref.finalize(owner, self._unused.append, self._pool).atexit = False
        return self._pool.submit(function, *args).result()

    @classmethod
    def _take(cls) -> ThreadPoolExecutor:
        try:
            return cls._unused.pop()
        except IndexError:
            return ThreadPoolExecutor(1, "d2l_mlp binding")


os.register_at_fork(after_in_child=OwnThread._unused.clear)


def bind(
    graphs: Sequence[Graph],
    arrays: dict[str, nd.NDArray],
    gradients: Sequence[dict[str, nd.NDArray]],
    X: nd.NDArray,
    y: nd.NDArray,
    thread: OwnThread,
) -> Bound:
    """Bind a batch's graphs to ``arrays`` and to inputs of their own, like X and y.

    Args:
        graphs: one for each piece of the batch, in order; at most two.
        arrays: their variables but the inputs, by name.
        gradients: for each piece where the gradients go, by the names of the variables.
        X: images of a batch, for their shape, dtype and device.
        y: its labels, likewise.
        thread: binds the second piece.

    Raises:
        NotTraceable: the loss or the scores are neither float32 nor float64.
    """
    places = nd.zeros(X.shape, dtype=X.dtype), nd.zeros(y.shape, dtype=y.dtype)
    views = _view(places[0]), _view(places[1])
    pieces, start = [], 0
    for i, (graph, into) in enumerate(zip(graphs, gradients, strict=True)):
        size = graph.shapes[graph.y][0]
        rows = slice(start, start + size)
        # Arrays of their own over the same memory: a slice is not for oneDNN.
        images = views[0][rows].reshape(graph.shapes[graph.X])
        given = nd.from_numpy(images), nd.from_numpy(views[1][rows])
        where = graph, arrays, into, given, rows
        pieces.append(thread.run(_bind, *where) if i else _bind(*where))
        start = rows.stop
    # An engine with threads of its own makes memory for them when it gets there.
    nd.waitall()
    return Bound(places, views, pieces, [arrays[name] for name in gradients[0]])


def _bind(
    graph: Graph,
    arrays: dict[str, nd.NDArray],
    gradients: dict[str, nd.NDArray],
    given: tuple[nd.NDArray, nd.NDArray],
    rows: slice,
) -> Piece:
    symbol = graph.symbol()
    requests = dict.fromkeys(symbol.list_arguments(), "null")
    requests |= dict.fromkeys(gradients, "write")
    arrays = arrays | dict(zip((graph.X, graph.y), given, strict=True))
    executor = symbol.bind(
        given[0].context,
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
    nd.waitall()
    outputs = [_view(output) for output in executor.outputs]
    return Piece(rows, executor, outputs, heads, list(gradients.values()))


def _view(array: nd.NDArray) -> np.ndarray:
    """Return NumPy's view of the memory of ``array``, which must outlive it."""
    kind = np.ctypeslib.as_ctypes_type(array.dtype)
    typed = ctypes.cast(_address(array), ctypes.POINTER(kind))
    return np.ctypeslib.as_array(typed, array.shape)


def _address(array: nd.NDArray) -> int:
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0
