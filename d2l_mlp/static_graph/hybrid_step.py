"""A training step over static graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from mxnet import MXNetError, gluon, nd

from .. import _checks
from ..chapter.results import num_correct
from ..chapter.step import Step
from ..dataset.loader import BatchLoader, Chunk, Part, pairs
from . import contents, graph, rewrites, verify
from .binding import OwnThread, bind
from .bound import Bound, num_pieces
from .graph import NotTraceable, name_of

if TYPE_CHECKING:
    from ..chapter.model import Loss, Net


#: Where a net keeps its last graph, which so lives as long as the net.
KEPT = "_d2l_mlp_graph"


class HybridStep(Step):
    """A training step over static graphs, one for each shape of batch.

    Between ``pull`` and ``sync`` the step owns the parameters: some stand transposed in
    its memory, and the given arrays lag behind.

    Without a trainer the loss's gradient comes in multiplied by ``-lr / batch_size``,
    and what comes out is added to the weights.

    Attributes:
        params: the arrays that it trains.
        lr: learning rate, None with a trainer; may be changed between steps.
        made_of: what it was made of, and in which thread, see ``take_kept``.
    """

    made_of: tuple[tuple, int]

    def __init__(
        self,
        net: Net,
        params: list[nd.NDArray],
        loss: Loss,
        batch_size: int,
        lr: float | None,
        trainer: gluon.Trainer | None,
        wd: float,
        rewrite: bool,
    ) -> None:
        self.lr = lr
        self._wd = wd
        self._net, self.params, self._loss = net, params, loss
        self._batch_size, self._trainer, self._rewrite = batch_size, trainer, rewrite
        self._bound: dict[tuple[Any, ...], Bound] = {}
        self._is_random = False
        # By the graphs' names: weights that stand transposed, and gradients' memory.
        self._transposed: dict[str, nd.NDArray] = {}
        self._gradients: dict[tuple[int, str], nd.NDArray] = {}
        self._thread = OwnThread(self)
        self._traced_from: list[Any] = []

    def __call__(self, X: nd.NDArray, y: nd.NDArray) -> tuple[float, int]:
        """Train on a batch; return its summed loss and the number of right answers."""
        bound = self._load(X, y)
        bound.forward(is_train=True)
        result = bound.loss(), bound.count_correct()
        self._update(bound)
        return result

    def count_correct(self, X: nd.NDArray, y: nd.NDArray) -> int:
        """Return the number of right answers in a batch, without training."""
        bound = self._load(X, y)
        bound.forward(is_train=False)
        return bound.count_correct()

    def feed(self, data_iter: Iterable, num_images: int = 1) -> Iterator[Part]:
        """Yield what ``train`` and ``count`` take: the batches of ``data_iter``.

        Those of a ``BatchLoader`` come in chunks of up to ``num_images``, at least of
        one batch, which the graph takes in compiled code if numba is installed.
        """
        if isinstance(data_iter, BatchLoader) and data_iter.gives_chunks:
            return data_iter.chunks(num_images)
        return iter(data_iter)

    def prepare(self, part: Part) -> bool:
        """Have a graph for batches like these; tell if it draws random numbers."""
        if isinstance(part, Chunk):
            self._bound_for(part)
        else:
            self._load(*part)
        return self._is_random

    def train(self, part: Part) -> list[tuple[float, int]]:
        """Train on each batch; return its summed loss and number of right answers."""
        if not isinstance(part, Chunk):
            return [self(*part)]
        bound = self._bound_for(part)
        if self._trainer is None:
            scale, decay = self._scales()
            return [*zip(*bound.run(part, True, scale, decay), strict=True)]
        results: list[tuple[float, int]] = []
        for single in part.singles():
            results += zip(*bound.run(single, True), strict=True)
            self._update(bound)
        return results

    def count(self, part: Part) -> list[int]:
        """Return each batch's number of right answers, without training."""
        if not isinstance(part, Chunk):
            return [self.count_correct(*part)]
        return self._bound_for(part).run(part, False)[1]

    def pull(self) -> None:
        """Take over what ``params`` hold now; the opposite of ``sync``.

        Graphs are traced anew if the net or the loss is made of other things by now:
        another number, another array, another gradient.
        """
        if isinstance(self._net, gluon.Block):
            # It may have been initialized anew.
            self.params = trained_arrays(self._net)
        found = contents.contents([self._net, self._loss, self.params])
        if found != self._traced_from:
            self._bound.clear()
            self._transposed.clear()
            self._gradients.clear()
            self._traced_from = found
        for param, weight in self._transposed_params():
            nd.transpose(param, out=weight)

    def sync(self) -> None:
        """Bring what was learned into ``params``; those kept transposed lag behind."""
        for param, weight in self._transposed_params():
            nd.transpose(weight, out=param)

    def __reduce__(self) -> tuple:
        """Copy a net, or send it to another process, without its graph."""
        return type(None), ()

    def end(self) -> None:
        """Leave this step to its net, for the next training, see ``take_kept``."""
        kept = getattr(self._net, "__dict__", None)
        # A class's is read-only.
        if isinstance(kept, dict):
            kept[KEPT] = self

    def _transposed_params(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Yield each parameter that stands transposed in the graphs, and its place."""
        for param in self.params:
            weight = self._transposed.get(name_of(param))
            if weight is not None:
                yield param, weight

    def _scales(self) -> tuple[float, float]:
        """Return what to multiply gradients and weights by, see ``Bound.update``."""
        if self.lr is None:
            raise ValueError("lr: found None, expected one without a trainer")
        return -self.lr / self._batch_size, 1 - self.lr * self._wd

    def _update(self, bound: Bound) -> None:
        """Go back through the graph and update the weights."""
        if self._trainer is None:
            bound.update(*self._scales())
            return
        bound.backward()
        for param in self.params:
            # Gluon asks autograd, which knows nothing of this graph.
            param._fresh_grad = True
        self._trainer.step(self._batch_size)

    def _bound_for(self, chunk: Chunk) -> Bound:
        """Return the graph for a chunk's batches."""
        bound = self._bound.get((chunk.shape, chunk.shape[:1], np.float32, np.int32))
        return self._load(*next(pairs(chunk))) if bound is None else bound

    def _load(self, X: nd.NDArray, y: nd.NDArray) -> Bound:
        """Return the graph for batches of this shape, with the batch in its inputs."""
        X, y = _checks.batch((X, y))
        key = (X.shape, y.shape, X.dtype, y.dtype)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = self._bind(X, y)
        for source, target in zip((X, y), bound.inputs, strict=True):
            source.copyto(target)
        nd.waitall()
        bound.check_labels()
        return bound

    def _bind(self, X: nd.NDArray, y: nd.NDArray) -> Bound:
        """Trace the net for batches of this shape, bind the graph and try it once."""
        self.sync()
        num_correct(_checks.checked_net(self._net)(X), y)
        whole = self._trace(X, y)
        self._is_random = whole.is_random()
        weights = sum(param.size for param in self.params)
        # Two pieces would draw from two generators.
        if not self._is_random and num_pieces(len(X), weights) == 2:
            half = len(X) // 2
            rows = slice(half), slice(half, None)
            try:
                halves = [self._trace(X[part], y[part]) for part in rows]
                return self._bind_to_memory(halves, X, y)
            except (NotTraceable, MXNetError):
                # A net may take the batch as a whole, as in X - X.mean().
                pass
        return self._bind_to_memory([whole], X, y)

    def _trace(self, X: nd.NDArray, y: nd.NDArray) -> graph.Graph:
        """Trace the net, rewrite its graph, and have weights transposed for it."""
        traced = graph.trace(self._net, self._loss, self.params, X, y)
        if self._rewrite:
            # A trainer knows the params as they are.
            movable = [] if self._trainer is not None else self.params
            rewrites.rewrite(traced, {name_of(param) for param in movable})
        if self._bound and traced.transposed != set(self._transposed):
            raise NotTraceable("net: found another graph for another size of batch")
        for name in traced.transposed - set(self._transposed):
            self._transposed[name] = traced.arrays[name].T.copy()
        return traced

    def _params_in(self, arrays: dict[str, nd.NDArray]) -> dict[str, nd.NDArray]:
        """Return the parameters that a graph of these ``arrays`` has, by name."""
        params = {name_of(param): param for param in self.params}
        return {name: param for name, param in params.items() if name in arrays}

    def _bind_to_memory(
        self, pieces: list[graph.Graph], X: nd.NDArray, y: nd.NDArray
    ) -> Bound:
        """Bind with weights that all shapes share, and memory for their gradients."""
        traced = pieces[0]
        arrays = traced.arrays | {n: self._transposed[n] for n in traced.transposed}
        params = self._params_in(arrays)
        gradients = [self._gradients_of(i, params, arrays) for i in range(len(pieces))]
        try:
            bound = bind(pieces, arrays, gradients, X, y, self._thread)
        except MXNetError as error:
            cause = _checks.last_line(error)
            raise NotTraceable(
                f"net: found a graph that MXNet cannot bind ({cause}), expected one "
                "whose every shape and dtype follows from X, y and params: write "
                "nd.Cast(X, dtype=...) in place of X.astype(...), which records none"
            ) from None
        weights = {name: self._transposed.get(name, p) for name, p in params.items()}
        plain = verify.Plain(self._net, self._loss, params)
        updates = self._trainer is None
        verify.Verification(traced, bound, plain, weights, updates).verify(
            X, y, first=not self._bound
        )
        return bound

    def _gradients_of(
        self, piece: int, params: dict[str, nd.NDArray], arrays: dict[str, nd.NDArray]
    ) -> dict[str, nd.NDArray]:
        """Return where a piece's go; a trainer finds their sum in the parameters."""
        if self._trainer is not None and piece == 0:
            return {name: param.grad for name, param in params.items()}
        for name in params:
            if (piece, name) not in self._gradients:
                self._gradients[piece, name] = nd.zeros_like(arrays[name])
        return {name: self._gradients[piece, name] for name in params}


def trained_arrays(block: gluon.Block) -> list[nd.NDArray]:
    """Return the arrays that a block trains."""
    parameters = block.collect_params().values()
    try:
        return [p.data() for p in parameters if p.grad_req != "null"]
    except RuntimeError as error:
        raise ValueError(
            f"net: found a parameter without values ({error}), expected the block "
            "after initialize() and one call on a batch"
        ) from None
