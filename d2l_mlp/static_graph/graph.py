"""A net's graph, recorded from one call."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import mxnet as mx
from mxnet import MXNetError, autograd, gluon, nd

from .. import _checks
from ..chapter.model import Loss, Net

Node = dict[str, Any]

#: What begins the names of operators that draw random numbers.
_RANDOM = ("Dropout", "_random", "_sample", "_shuffle")


class NotTraceable(ValueError):
    """The net cannot be turned into a static graph; the message says why."""


@dataclass
class Graph:
    """A static graph of two outputs, the batch's summed loss ``(1,)`` and the scores.

    Attributes:
        nodes: MXNet's own, each with ``op``, ``name``, ``attrs`` and ``inputs``; a node
            comes after its inputs.
        heads: the two outputs, as ``[node, output, version]``.
        X, y: names of the two inputs.
        arrays: each other variable's array, by name.
        shapes: each variable's shape, by name.
        transposed: names of weights that stand as ``(outputs, inputs)`` in the graph.
    """

    nodes: list[Node]
    heads: list[list[int]]
    X: str
    y: str
    arrays: dict[str, nd.NDArray]
    shapes: dict[str, tuple[int, ...]]
    transposed: set[str] = field(default_factory=set)

    def symbol(self) -> mx.sym.Symbol:
        """Return the graph as MXNet takes it."""
        variables = [i for i, node in enumerate(self.nodes) if node["op"] == "null"]
        graph = {
            "nodes": self.nodes,
            "arg_nodes": variables,
            "heads": self.heads,
            "attrs": {"mxnet_version": ["int", 10901]},
        }
        return mx.sym.load_json(json.dumps(graph))

    def is_random(self) -> bool:
        """Tell whether two passes with the same inputs may differ."""
        return any(node["op"].startswith(_RANDOM) for node in self.nodes)


def trace(
    net: Net,
    loss: Loss,
    params: Sequence[nd.NDArray],
    X: nd.NDArray,
    y: nd.NDArray,
) -> Graph:
    """Record ``loss(net(X), y).sum()`` for batches of the shape of ``X``.

    Raises:
        NotTraceable: the net looks at values, which a graph cannot, or uses arrays that
            are neither ``params`` nor variables that it names.
    """
    X, y = X.copy(), y.copy()
    X.attach_grad()
    y.attach_grad()
    with _values_hidden(), autograd.record():
        scores = net(X)
        loss_sum = _checks.losses(loss(scores, y)).sum()
        both = nd.concat(loss_sum.reshape((1,)), scores.reshape((-1,)), dim=0)
    # Both from one symbol, so that what they share is there once.
    outputs = [
        child.get_children()[0] for child in autograd.get_symbol(both).get_children()
    ]
    symbol = mx.sym.Group([outputs[0], mx.sym.BlockGrad(outputs[1])])
    if symbol.list_auxiliary_states():
        raise NotTraceable(
            "net: found running statistics, as BatchNorm keeps, which trying the graph "
            "would move; expected none"
        )
    names = {name_of(array): array for array in params}
    inputs = set(symbol.list_inputs()) - {name_of(X), name_of(y)}
    if inputs - set(names):
        names |= {name_of(array): array for array in _arrays_named_in(net, set())}
    if inputs - set(names):
        raise NotTraceable(
            f"net: found {len(inputs - set(names))} arrays in it that are neither in "
            "params nor variables that it names, expected each to be one of these"
        )
    nodes, heads = parts_of(symbol)
    if any(node["op"] == "_CachedOp" for node in nodes):
        raise NotTraceable("net: found it hybridized by Gluon, call hybridize(False)")
    arrays = {name: names[name] for name in inputs}
    shapes = {name: array.shape for name, array in arrays.items()}
    shapes |= {name_of(X): X.shape, name_of(y): y.shape}
    return Graph(nodes, heads, name_of(X), name_of(y), arrays, shapes)


def parts_of(symbol: mx.sym.Symbol) -> tuple[list[Node], list[list[int]]]:
    """Return the nodes and heads of a symbol, as ``Graph`` has them."""
    loaded = json.loads(symbol.tojson())
    return loaded["nodes"], loaded["heads"]


def name_of(array: nd.NDArray) -> str:
    """Return the name under which ``array`` stands in graphs; none if in none."""
    try:
        return autograd.get_symbol(array).name
    except MXNetError:
        return ""


def _arrays_named_in(thing: Any, seen: set[int]) -> Iterator[nd.NDArray]:
    """Yield the arrays that a function, and what it calls, names; blocks' own too."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, nd.NDArray):
        yield thing
    elif isinstance(thing, (list, tuple, dict)):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from _arrays_named_in(part, seen)
    elif isinstance(thing, gluon.Block):
        for parameter in thing.collect_params().values():
            yield parameter.data()
    elif inspect.ismethod(thing):
        yield from _arrays_named_in(vars(thing.__self__), seen)
        yield from _arrays_named_in(thing.__func__, seen)
    elif inspect.isfunction(thing) and not str(thing.__module__).startswith("mxnet"):
        names = inspect.getclosurevars(thing)
        yield from _arrays_named_in({**names.globals, **names.nonlocals}, seen)


@contextmanager
def _values_hidden() -> Iterator[None]:
    """Refuse to give values to Python: a net that branches on them has many graphs.

    By watching this thread's calls, so that nothing changes for other threads.
    """
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is nd.NDArray.asnumpy.__code__:
            raise NotTraceable(
                "net: found that it looks at an array's values (asnumpy, asscalar, if, "
                "float), expected operators alone: one graph cannot hold every branch"
            )

    sys.setprofile(watch)
    try:
        yield
    finally:
        # cProfile until Python 3.11 puts itself there, which no one else can.
        enable = getattr(before, "enable", None)
        sys.setprofile(None if enable else before)
        if enable:
            enable()
