"""A net's graph: recorded from one call, rewritten to operators that train faster.

Each rewrite keeps the arithmetic's meaning; sums may be taken in another order.
"""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import MXNetError, autograd, gluon, nd

from . import _checks

Node = dict[str, Any]


#: Operators, and the position among their inputs, that take a bias or a weight.
_BIASES = {("FullyConnected", 2), ("broadcast_add", 1)}
_WEIGHTS = {("FullyConnected", 1), ("dot", 1)}
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
    net: Callable[[nd.NDArray], nd.NDArray],
    loss: Callable[[nd.NDArray, nd.NDArray], nd.NDArray],
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
    nodes, heads = _parts(json.loads(symbol.tojson()))
    if any(node["op"] == "_CachedOp" for node in nodes):
        raise NotTraceable("net: found it hybridized by Gluon, call hybridize(False)")
    arrays = {name: names[name] for name in inputs}
    shapes = {name: array.shape for name, array in arrays.items()}
    shapes |= {name_of(X): X.shape, name_of(y): y.shape}
    return Graph(nodes, heads, name_of(X), name_of(y), arrays, shapes)


def rewrite(graph: Graph, weights: set[str]) -> None:
    """Put faster operators in place, and ``weights`` (names) transposed where it pays.

    - an input that is only ever reshaped is given in that shape;
    - ``dot(H, W) + b`` becomes ``FullyConnected``, which runs on oneDNN: 0.39 ms for
      256×784 by 784×256 where OpenBLAS takes 0.76 (2 threads, a Xeon of model 207);
    - ``maximum(H, 0)`` becomes ``relu``: at 0 exactly its gradient is 0, not 1;
    - the mean over an axis of one element, in Gluon's losses, is dropped, and so is a
      reshaping before a sum over everything.
    """
    for i, node in enumerate(graph.nodes):
        if node["op"] in REWRITES:
            REWRITES[node["op"]](graph, i, weights)
    # What the rewrites left unused goes.
    graph.nodes, graph.heads = _parts(json.loads(graph.symbol().tojson()))


def _rewrite_reshape(graph: Graph, i: int, _: set[str]) -> None:
    (source,) = graph.nodes[i]["inputs"]
    if graph.nodes[source[0]]["name"] == graph.X and len(_uses(graph, source[0])) == 1:
        graph.shapes[graph.X] = _shape(graph, i)
        _replace(graph, i, source)


def _rewrite_dot(graph: Graph, i: int, weights: set[str]) -> None:
    node = graph.nodes[i]
    H, W = node["inputs"]
    name = graph.nodes[W[0]]["name"]
    if node.get("attrs") or name not in weights or len(_uses(graph, W[0])) > 1:
        return
    if len(_shape(graph, *H[:2])) == 2:
        units = graph.shapes[name][1]
        graph.shapes[name] = graph.shapes[name][::-1]
        graph.transposed.add(name)
        attrs = {"num_hidden": str(units), "no_bias": "True"}
        node.update(op="FullyConnected", attrs=attrs)


def _rewrite_add(graph: Graph, i: int, _: set[str]) -> None:
    node = graph.nodes[i]
    source, bias = node["inputs"]
    product = graph.nodes[source[0]]
    if product["op"] != "FullyConnected" or len(_uses(graph, source[0])) > 1:
        return
    units = product["attrs"]["num_hidden"]
    if product["attrs"].get("no_bias") == "True" and _shape(graph, bias[0]) == (
        int(units),
    ):
        attrs = {"num_hidden": units}
        node.update(op="FullyConnected", attrs=attrs, inputs=[*product["inputs"], bias])


def _rewrite_maximum(graph: Graph, i: int, _: set[str]) -> None:
    node = graph.nodes[i]
    if float(node["attrs"]["scalar"]) == 0:
        node.update(op="Activation", attrs={"act_type": "relu"})


def _rewrite_mean(graph: Graph, i: int, _: set[str]) -> None:
    node = graph.nodes[i]
    (source,) = node["inputs"]
    before, after = _shape(graph, *source[:2]), _shape(graph, i)
    if before == (*after, 1):
        node.update(op="Reshape", attrs={"shape": str(after)})


def _rewrite_sum(graph: Graph, i: int, _: set[str]) -> None:
    if graph.nodes[i].get("attrs"):
        return
    (source,) = graph.nodes[i]["inputs"]
    if graph.nodes[source[0]]["op"] == "Reshape":
        source[:] = graph.nodes[source[0]]["inputs"][0]


#: What takes the place of an operator; each is tried at every node of its kind.
REWRITES: dict[str, Callable[[Graph, int, set[str]], None]] = {
    "Reshape": _rewrite_reshape,
    "dot": _rewrite_dot,
    "broadcast_add": _rewrite_add,
    "_maximum_scalar": _rewrite_maximum,
    "mean": _rewrite_mean,
    "sum": _rewrite_sum,
}


def _parts(loaded: dict[str, Any]) -> tuple[list[Node], list[list[int]]]:
    return loaded["nodes"], loaded["heads"]


def _uses(graph: Graph, i: int) -> list[list[int]]:
    """Return every place that takes an output of node ``i``."""
    entries = [entry for node in graph.nodes for entry in node["inputs"]]
    return [entry for entry in entries + graph.heads if entry[0] == i]


def _replace(graph: Graph, i: int, source: list[int]) -> None:
    for entry in _uses(graph, i):
        entry[:] = source


def addable(graph: Graph, params: set[str]) -> set[str]:
    """Return the ``params`` to which the backward pass may add while it runs.

    Those are the ones whose values it does not need: biases, and weights of products
    whose other side no parameter has touched.
    """
    touched: set[int] = set()
    result = set(params)
    for i, node in enumerate(graph.nodes):
        sources = [entry[0] for entry in node["inputs"]]
        if node["name"] in params or touched & set(sources):
            touched.add(i)
        for position, source in enumerate(sources):
            is_bias = (node["op"], position) in _BIASES
            is_first = (node["op"], position) in _WEIGHTS and sources[0] not in touched
            if not (is_bias or is_first) or len(_uses(graph, source)) > 1:
                result.discard(graph.nodes[source]["name"])
    return result


def _shape(graph: Graph, i: int, output: int = 0) -> tuple[int, ...]:
    part = Graph(graph.nodes[: i + 1], [[i, output, 0]], "", "", {}, {})
    symbol = part.symbol()
    known = {name: graph.shapes[name] for name in symbol.list_inputs()}
    return symbol.infer_shape(**known)[1][0]


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
    elif inspect.isfunction(thing) and not thing.__module__.startswith("mxnet"):
        names = inspect.getclosurevars(thing)
        yield from _arrays_named_in({**names.globals, **names.nonlocals}, seen)


@contextmanager
def _values_hidden() -> Iterator[None]:
    """Refuse to give values to Python: a net that branches on them has many graphs."""
    asnumpy, thread = nd.NDArray.asnumpy, threading.get_ident()

    def refuse(self: nd.NDArray) -> np.ndarray:
        if threading.get_ident() != thread:
            return asnumpy(self)
        raise NotTraceable(
            "net: found that it looks at an array's values (asnumpy, asscalar, if, "
            "float), expected operators alone: one graph cannot hold every branch"
        )

    nd.NDArray.asnumpy = refuse
    try:
        yield
    finally:
        nd.NDArray.asnumpy = asnumpy
