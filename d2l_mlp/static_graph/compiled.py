"""Batch after batch through a bound graph, without Python between them.

numba compiles the loop when it is first called, in some 3 s, and keeps the result
beside this file or, where it may not write there, in the user's cache. It compiles anew
when this file changes, and this one alone: so all that it compiles stands here.

A batch is cut into pieces (see ``bound.num_pieces``), each with a graph of its own. The
calling thread computes them, and one helper where there is a processor for it: whoever
is free takes the next piece, then its share of the update. They meet twice a step, and
neither waits for a piece that nobody has begun. So a helper that the system has put
aside costs little, and which thread computed what changes no bit.

Raises:
    ImportError: on import, where numba is missing, does not know this numpy, or is told
        not to compile (``NUMBA_DISABLE_JIT``).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from mxnet.base import _LIB, check_call
from numba import carray, njit, types
from numba.extending import intrinsic

from .. import _threads

#: Looks at a number that another thread is to change before a thread sleeps: some 3 µs.
#: Pieces end at about the same time, and to wake a thread takes longer.
LOOKS = 2000
_OPTIONS = {"error_model": "numpy", "nogil": True}

if numba.config.DISABLE_JIT:
    raise ImportError("numba is told not to compile")

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
_sleep = types.ExternalFunction("sem_wait", types.int32(types.intp))
_wake = types.ExternalFunction("sem_post", types.int32(types.intp))


class Memory(NamedTuple):
    """Where a bound graph reads and writes; addresses are int64, one for each piece.

    Attributes:
        executors: addresses of MXNet's.
        heads: addresses of handles: what the outputs' gradients are multiplied by.
        num_heads: how many these are.
        starts: int64 ``(pieces + 1,)``: where in the batch each piece starts and ends.
        X: float32 ``(batch, pixels)``.
        y: int32 ``(batch,)``.
        losses: addresses of the losses ``(1,)``, summed over a piece.
        scores: addresses of the scores ``(piece, classes)``.
        classes: how many.
        doubles: whether losses and scores are float64, not float32.
    """

    executors: np.ndarray
    heads: np.ndarray
    num_heads: int
    starts: np.ndarray
    X: np.ndarray
    y: np.ndarray
    losses: np.ndarray
    scores: np.ndarray
    classes: int
    doubles: bool


class Weights(NamedTuple):
    """Where the weights lie, all of float32: int64.

    Attributes:
        addresses: of their memory, ``(weights,)``.
        gradients: of their gradients' memory, ``(pieces, weights)``.
        sizes: in elements, ``(weights,)``.
    """

    addresses: np.ndarray
    gradients: np.ndarray
    sizes: np.ndarray


#: What the two threads tell each other by, each number in a cache line of its own: the
#: next task, how many are done, why to stop, and whether each thread sleeps.
_NEXT, _DONE, _STATUS, _ASLEEP = 0, 8, 16, 24
_NUMBERS = 48


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


def _atomic(build: Callable, result: types.Type, num_values: int) -> Any:
    """Return an operation on a number of memory that all threads see in one order."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = builder.inttoptr(values[0], ir.IntType(64).as_pointer())
        built = build(builder, pointer, *values[1:])
        return context.get_dummy_value() if result == types.void else built

    signature = result(types.intp, *[types.int64] * num_values)
    if num_values == 0:
        return intrinsic(lambda typing_context, address: (signature, generate))
    if num_values == 1:
        return intrinsic(lambda typing_context, address, a: (signature, generate))
    return intrinsic(lambda typing_context, address, a, b: (signature, generate))


def _build_exchange(builder: Any, pointer: Any, old: Any, new: Any) -> Any:
    pair = builder.cmpxchg(pointer, old, new, "seq_cst", "seq_cst")
    return builder.zext(builder.extract_value(pair, 1), ir.IntType(64))


_get = _atomic(lambda b, p: b.load_atomic(p, "seq_cst", 8), types.int64, 0)
_set = _atomic(lambda b, p, v: b.store_atomic(v, p, "seq_cst", 8), types.void, 1)
_add = _atomic(lambda b, p, v: b.atomic_rmw("add", p, v, "seq_cst"), types.int64, 1)
_exchange = _atomic(_build_exchange, types.int64, 2)


@njit(error_model="numpy")
def _gather(images, labels, batch, start, stop, X, y):
    # The bits of loader.BatchLoader.gather.
    for k in range(start, stop):
        # Read once: X might lie over it, as far as the compiler knows.
        i = batch[k]
        y[k] = labels[i]
        for j in range(X.shape[1]):
            X[k, j] = np.float32(images[i, j]) / np.float32(255)


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
def _learn(memory, images, labels, batch, piece, is_train, updates, losses, correct):
    start, stop = memory.starts[piece], memory.starts[piece + 1]
    y = memory.y[start:stop]
    _gather(images, labels, batch, start, stop, memory.X, memory.y)
    # NaiveEngine is done when it returns, another not before one waits for it.
    status = _forward(memory.executors[piece], is_train) or _wait()
    if status:
        return status
    shape = (stop - start, memory.classes)
    loss, scores = _pointer(memory.losses[piece]), _pointer(memory.scores[piece])
    if memory.doubles:
        losses[piece] = carray(loss, 1, np.float64)[0]
        correct[piece] = _count_correct(carray(scores, shape, np.float64), y)
    else:
        losses[piece] = carray(loss, 1, np.float32)[0]
        correct[piece] = _count_correct(carray(scores, shape, np.float32), y)
    if updates:
        heads = memory.num_heads, memory.heads[piece]
        status = _backward(memory.executors[piece], heads[0], heads[1], 1) or _wait()
    return status


@njit(error_model="numpy")
def _update(weights, share, decay):
    """Update a share of each weight: decay * weight + the pieces' summed gradients."""
    pieces = len(weights.gradients)
    for i in range(len(weights.sizes)):
        start = weights.sizes[i] * share // pieces
        size = weights.sizes[i] * (share + 1) // pieces - start
        weight = carray(_pointer(weights.addresses[i] + 4 * start), size, np.float32)
        first = weights.gradients[0, i] + 4 * start
        gradient = carray(_pointer(first), size, np.float32)
        if pieces == 1:
            for j in range(size):
                weight[j] = weight[j] * decay + gradient[j]
        else:
            second = weights.gradients[1, i] + 4 * start
            other = carray(_pointer(second), size, np.float32)
            for j in range(size):
                weight[j] = weight[j] * decay + (gradient[j] + other[j])


@_kept
def _work(
    me,
    numbers,
    semaphores,
    memory,
    weights,
    images,
    labels,
    batches,
    is_train,
    updates,
    decay,
    losses,
    correct,
):
    """Do tasks until none is left; return 0, or MXNet's status."""
    next_task, done = numbers + 8 * _NEXT, numbers + 8 * _DONE
    failed, asleep = numbers + 8 * _STATUS, numbers + 8 * _ASLEEP
    pieces = len(memory.executors)
    # A step has a task for each piece, then one for each share of the update.
    phases = 2 if updates else 1
    total = len(batches) * phases * pieces
    while True:
        task = min(_get(next_task), total)
        # All tasks of earlier phases, or at the end all.
        needed = task // pieces * pieces
        looks = 0
        while _get(done) < needed and looks < LOOKS and not _get(failed):
            looks += 1
        if _get(failed):
            return 0
        if _get(done) < needed:
            _set(asleep + 64 * me, 1)
            if _get(done) < needed and not _get(failed):
                _sleep(semaphores[me])
            _set(asleep + 64 * me, 0)
            continue
        if task == total:
            return 0
        if not _exchange(next_task, task, task + 1):
            continue
        i, piece = task // (phases * pieces), task % pieces
        status = 0
        if task // pieces % phases == 0:
            how = is_train, updates
            batch, results = batches[i], (losses[i], correct[i])
            status = _learn(memory, images, labels, batch, piece, *how, *results)
        else:
            _update(weights, piece, np.float32(decay))
        if status:
            _set(failed, 1)
        finished = _add(done, 1) + 1
        if (finished % pieces == 0 or status) and _get(asleep + 64 * (1 - me)):
            _wake(semaphores[1 - me])
        if status:
            return status


def run(
    memory: Memory,
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    batches: np.ndarray,
    is_train: bool,
    updates: bool,
    decay: float,
    losses: np.ndarray,
    correct: np.ndarray,
) -> None:
    """Take batch after batch through a graph.

    Args:
        memory: the graph's.
        weights: those that it is to move.
        images: uint8 ``(n, pixels)``.
        labels: int32 ``(n,)``, within the graph's classes.
        batches: int64 ``(batches, batch)``: which images each batch has.
        is_train: whether the forward pass is one of training.
        updates: whether to go back and move the weights: to multiply them by ``decay``,
            and add their gradients.
        decay: see there.
        losses: float64 ``(batches, pieces)``, to be filled.
        correct: int64 ``(batches, pieces)``, to be filled.

    Raises:
        MXNetError: from MXNet.
    """
    # From the first address that begins a cache line.
    numbers = np.zeros(_NUMBERS + 8, np.int64)
    places = [_semaphore(), _semaphore()]
    arguments = (
        -(-numbers.ctypes.data // 64) * 64,
        np.array([ctypes.addressof(place) for place in places]),
        memory,
        weights,
        images,
        labels,
        batches,
        is_train,
        updates,
        decay,
        losses,
        correct,
    )
    if len(memory.executors) == 1 or _threads.num_threads() == 1:
        return _take_part(0, *arguments)
    helping = _helper().submit(_take_part, 1, *arguments)
    try:
        _take_part(0, *arguments)
    finally:
        # One that never began, as beside another thread's graph, is not waited for.
        if not helping.cancel():
            helping.result()


def _take_part(me: int, *arguments: Any) -> None:
    try:
        status = _work(me, *arguments)
    except OSError:
        # What was kept cannot be read, or the disk is full.
        status = _unkept(_work.py_func)(me, *arguments)
    # What went wrong MXNet tells the thread in which it did.
    check_call(status)


def _semaphore() -> Any:
    """Return the memory of one that stands at 0; glibc's has at most 32 bytes."""
    place = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).sem_init(place, 0, 0)
    return place


@cache
def _helper() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "d2l_mlp helper")


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_helper.cache_clear)


def compile_now() -> None:
    """Compile what ``run`` wants, or load what was kept of it; no batch is taken."""
    one, none = np.zeros((1, 1), np.float32), np.zeros((0, 1), np.int64)
    address, y = np.zeros(1, np.int64), np.zeros(1, np.int32)
    memory = Memory(
        address, address, 0, np.arange(2), one, y, address, address, 1, False
    )
    images, labels = np.zeros((1, 1), np.uint8), y.copy()
    images.flags.writeable = labels.flags.writeable = False
    weights = Weights(none[:, 0], none.reshape(1, 0), none[:, 0])
    results = np.zeros((0, 1)), np.zeros((0, 1), np.int64)
    run(memory, weights, images, labels, none, True, True, 1.0, *results)
