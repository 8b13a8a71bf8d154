"""Binds the graphs of a batch's pieces to memory."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from mxnet import nd

from .bound import Bound, Piece, view
from .graph import Graph, NotTraceable


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
    views = view(places[0]), view(places[1])
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
    outputs = [view(output) for output in executor.outputs]
    return Piece(rows, executor, outputs, heads, list(gradients.values()))
