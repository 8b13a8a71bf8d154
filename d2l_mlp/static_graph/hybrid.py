"""A plain net function, traced once into a static graph that trains fast.

step = hybridize(net, params, loss, batch_size=256, lr=0.5)
for part in step.feed(train_iter):
    for loss_sum, correct in step.train(part): ...
step.sync()                      # params hold what was learned
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mxnet import gluon, nd

from .. import _checks, _values
from .graph import NotTraceable as NotTraceable
from .hybrid_step import KEPT, HybridStep, trained_arrays

if TYPE_CHECKING:
    from ..chapter.model import Loss, Net


def hybridize(
    net: Net,
    params: Sequence[nd.NDArray] | None,
    loss: Loss,
    batch_size: int,
    lr: float | None = None,
    trainer: gluon.Trainer | None = None,
    *,
    wd: float = 0.0,
    rewrite: bool = True,
) -> HybridStep:
    """Return a training step for ``net`` that runs as a static graph.

    Args:
        net: a function of NDArray operators, or a Gluon block, from images
            ``(batch, ...)`` to scores ``(batch, classes)``.
        params: its arrays, with gradients attached; a block knows its own.
        loss: gives each sample's loss.
        batch_size: what the summed gradient is divided by, for every batch.
        lr: learning rate of the step; ``step.lr`` may be changed at any time.
        trainer: updates ``params`` in place of ``lr``.
        wd: weight decay, see ``sgd``.
        rewrite: put faster operators in place, see ``rewrites.rewrite``.

    Raises:
        ValueError: no parameters, no learning rate, a batch that does not fit.
        NotTraceable: at the first batch of a shape, if the net cannot be a graph, or
            if its graph does not give the gradients that the net gives.
    """
    _values.function("net", net)
    _values.function("loss", loss)
    _values.whole_number("batch_size", batch_size)
    if isinstance(net, gluon.Block):
        params = trained_arrays(net)
    params = [] if params is None else _checks.parameters(params)
    if trainer is not None and not params:
        raise ValueError(
            "params: found none, expected those that the trainer updates, unless the "
            "net is a Gluon block"
        )
    _checks.optimizer(params, lr, trainer)
    _checks.weight_decay(wd, lr, trainer)
    return HybridStep(net, params, loss, batch_size, lr, trainer, wd, rewrite)


def take_kept(
    net: Net,
    params: Sequence[nd.NDArray] | None,
    loss: Loss,
    batch_size: int,
    lr: float | None = None,
    trainer: gluon.Trainer | None = None,
    wd: float = 0.0,
) -> HybridStep:
    """Return the step that an earlier training of the same arguments left on the net.

    If there is none, return a new one by ``hybridize``. At each epoch it is compared
    whether the net still has the same numbers and arrays, see ``HybridStep.pull``.
    """
    step = getattr(net, "__dict__", {}).pop(KEPT, None)
    made_of = (net, loss, trainer, *(params or [])), threading.get_ident()
    if step is not None and _same(step.made_of, made_of):
        step.lr, step._wd, step._batch_size = lr, wd, batch_size
        return step
    step = hybridize(net, params, loss, batch_size, lr, trainer, wd=wd)
    step.made_of = made_of
    return step


def _same(one: tuple[tuple, int], other: tuple[tuple, int]) -> bool:
    (things, thread), (others, in_other) = one, other
    alike = len(things) == len(others) and thread == in_other
    return alike and all(a is b for a, b in zip(things, others, strict=True))
