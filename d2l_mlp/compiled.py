"""Batch after batch through a bound graph, without Python between them.

numba compiles ``run`` when it is first called, in some 3 s, and keeps the result beside
this file or, where it may not write there, in the user's cache. A step of the chapter's
run is 1 ms of arithmetic, beside which Python's part of it shows.

It uses numba's OpenMP layer, unless ``NUMBA_THREADING_LAYER`` names another, with as
many threads as MXNet has.

Raises:
    ImportError: on import, where numba is missing, does not know this numpy, lacks the
        layer that it is told to use, or is told not to compile (``NUMBA_DISABLE_JIT``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding
import numba
import numpy as np
from mxnet.base import _LIB
from numba import carray, njit, prange, types
from numba.extending import intrinsic

#: Elements from which on a team of threads is quicker than one.
LARGE = 2**16
#: Status of a batch whose labels are beyond the scores. MXNet's own are 0 and -1.
BAD_LABELS = 1
_OPTIONS = {"error_model": "numpy", "nogil": True}

if numba.config.DISABLE_JIT:
    raise ImportError("numba is told not to compile")
if numba.config.THREADING_LAYER == "default":
    # The team that MXNet computes with: two teams would fight for the processors.
    numba.config.THREADING_LAYER = "omp"
_openmp = ctypes.CDLL("libgomp.so.1")

# By name, since compiled code that holds an address cannot be kept.
llvmlite.binding.load_library_permanently(_LIB._name)
_forward = types.ExternalFunction(
    "MXExecutorForward", types.int32(types.intp, types.int32)
)
_backward = types.ExternalFunction(
    "MXExecutorBackwardEx",
    types.int32(types.intp, types.uint32, types.intp, types.int32),
)
_wait = types.ExternalFunction("MXNDArrayWaitAll", types.int32())


class Memory(NamedTuple):
    """Where a bound graph reads and writes.

    Attributes:
        executor: address of MXNet's.
        heads: address of the handles of what the outputs' gradients are multiplied by.
        num_heads: how many these are.
        factor: float32 ``(1,)``, the first of them, the loss's.
        X: float32 ``(batch, pixels)``.
        y: int32 ``(batch,)``.
        loss: float32 or float64 ``(1,)``, summed over the batch.
        scores: float32 or float64 ``(batch, classes)``.
    """

    executor: int
    heads: int
    num_heads: int
    factor: np.ndarray
    X: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    scores: np.ndarray


class Weights(NamedTuple):
    """Where the weights lie, all of float32: int64, an entry for each.

    Attributes:
        addresses: of their memory.
        gradients: of their gradients' memory.
        sizes: in elements.
    """

    addresses: np.ndarray
    gradients: np.ndarray
    sizes: np.ndarray


def _team() -> bool:
    """Tell whether MXNet has more than one thread here, and have numba use as many.

    In a forked process it has one, see ``_compat``; numba's layer would end that.
    """
    threads, levels = _openmp.omp_get_max_threads(), _openmp.omp_get_max_active_levels()
    # At the first call this starts numba's layer, which code that was kept does not do
    # by itself, and which gives OpenMP, so MXNet too, numbers of its own.
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    _openmp.omp_set_num_threads(threads)
    _openmp.omp_set_max_active_levels(levels)
    return threads > 1


def _kept(function: Callable) -> Any:
    """Compile ``function`` at its first call, and keep the result where one may."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # Neither folder can be written to.
        return njit(**_OPTIONS)(function)


@cache
def _unkept(function: Callable) -> Any:
    return njit(**_OPTIONS)(function)


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """Take a number for an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.intp), generate


@njit(error_model="numpy")
def _take(images, labels, batch, X, y, k):
    # The bits of loader.BatchLoader.take.
    y[k] = labels[batch[k]]
    for j in range(X.shape[1]):
        X[k, j] = np.float32(images[batch[k], j]) / np.float32(255)


@njit(error_model="numpy", parallel=True)
def _take_all_by_team(images, labels, batch, X, y):
    for k in prange(len(batch)):
        _take(images, labels, batch, X, y, k)


@njit(error_model="numpy")
def _take_all(images, labels, batch, X, y):
    for k in range(len(batch)):
        _take(images, labels, batch, X, y, k)


@njit(error_model="numpy", parallel=True)
def _add_by_team(weight, kept, gradient):
    for j in prange(len(weight)):
        weight[j] = weight[j] * kept + gradient[j]


@njit(error_model="numpy")
def _add(weight, kept, gradient):
    for j in range(len(weight)):
        weight[j] = weight[j] * kept + gradient[j]


@njit(error_model="numpy")
def _fit(y, classes):
    return y.min() >= 0 and y.max() < classes


@njit(error_model="numpy")
def _count_correct(scores, y):
    # Of equal scores the first, and NaN before all, as NumPy's argmax has it.
    correct = 0
    for k in range(len(y)):
        best = 0
        for j in range(1, scores.shape[1]):
            if np.isnan(scores[k, best]):
                break
            if scores[k, j] > scores[k, best] or np.isnan(scores[k, j]):
                best = j
        correct += best == y[k]
    return correct


@njit(error_model="numpy")
def _descend(memory, weights, kept, by_team):
    status = _backward(memory.executor, memory.num_heads, memory.heads, 1) or _wait()
    if status:
        return status
    for i in range(len(weights.sizes)):
        size = weights.sizes[i]
        weight = carray(_pointer(weights.addresses[i]), size, np.float32)
        gradient = carray(_pointer(weights.gradients[i]), size, np.float32)
        if by_team and size > LARGE:
            _add_by_team(weight, kept, gradient)
        else:
            _add(weight, kept, gradient)
    return status


@_kept
def _run(
    memory,
    weights,
    images,
    labels,
    orders,
    is_train,
    descends,
    factor,
    kept,
    by_team,
    losses,
    correct,
):
    memory.factor[0] = factor
    for i in range(len(orders)):
        if by_team and memory.X.size > LARGE:
            _take_all_by_team(images, labels, orders[i], memory.X, memory.y)
        else:
            _take_all(images, labels, orders[i], memory.X, memory.y)
        if not _fit(memory.y, memory.scores.shape[1]):
            return BAD_LABELS
        # NaiveEngine is done when it returns, another not before one waits for it.
        status = _forward(memory.executor, is_train) or _wait()
        if status:
            return status
        losses[i] = memory.loss[0]
        correct[i] = _count_correct(memory.scores, memory.y)
        if descends:
            status = _descend(memory, weights, np.float32(kept), by_team)
            if status:
                return status
    return 0


def run(
    memory: Memory,
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    orders: np.ndarray,
    is_train: bool,
    descends: bool,
    factor: float,
    kept: float,
    losses: np.ndarray,
    correct: np.ndarray,
) -> int:
    """Take batch after batch through a graph; return 0, or why it stopped at one.

    That is ``BAD_LABELS``, or -1 for an error of MXNet's. The batches before it count.

    Args:
        memory: the graph's.
        weights: those that it is to move.
        images: uint8 ``(n, pixels)``.
        labels: int32 ``(n,)``.
        orders: int64 ``(batches, batch)``: which images each batch has.
        is_train: whether the forward pass is one of training.
        descends: whether to go back and descend: to multiply the weights by ``kept``,
            and add ``factor`` times their gradients.
        factor: see there.
        kept: see there.
        losses: float64 ``(batches,)``, to be filled.
        correct: int64 ``(batches,)``, to be filled.
    """
    how = is_train, descends, factor, kept, _team()
    arguments = memory, weights, images, labels, orders, *how, losses, correct
    try:
        return _run(*arguments)
    except OSError:
        # What was kept cannot be read, or the disk is full.
        return _unkept(_run.py_func)(*arguments)


def compile_now() -> None:
    """Compile what ``run`` wants, or load what was kept of it; no batch is taken."""
    one, none = np.zeros((1, 1), np.float32), np.zeros((0, 1), np.int64)
    y = np.zeros(1, np.int32)
    memory = Memory(0, 0, 0, one[0], one, y, one[0], one)
    images, labels = np.zeros((1, 1), np.uint8), y.copy()
    images.flags.writeable = labels.flags.writeable = False
    weights = Weights(none[:, 0], none[:, 0], none[:, 0])
    results = np.zeros(0), np.zeros(0, np.int64)
    run(memory, weights, images, labels, none, True, True, 1.0, 1.0, *results)


try:
    _team()
except ValueError as error:
    raise ImportError(str(error)) from None
