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

from .. import _checks
from ..dataset.loader import Chunk

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
            if np.float32(scale) != view(piece.heads[0])[0]:
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


def view(array: nd.NDArray) -> np.ndarray:
    """Return NumPy's view of the memory of ``array``, which must outlive it."""
    kind = np.ctypeslib.as_ctypes_type(array.dtype)
    typed = ctypes.cast(_address(array), ctypes.POINTER(kind))
    return np.ctypeslib.as_array(typed, array.shape)


def _address(array: nd.NDArray) -> int:
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0
