"""How the learning rate falls over a run, by GluonCV's schedules."""

from __future__ import annotations

from ..chapter.step import LearningRate
from .settings import Schedule


def make_schedule(
    mode: Schedule, lr: float, num_updates: int, first_update: int = 0
) -> LearningRate:
    """Return ``lr``, or a function that lets it fall over ``num_updates`` updates.

    The last update's learning rate is the last above 0.

    Args:
        mode: of GluonCV's LRScheduler.
        lr: learning rate of the first update, above 0.
        num_updates: updates of the whole run.
        first_update: the number by which the first one is asked for.
    """
    if mode == "constant":
        return lr
    from gluoncv.utils import LRScheduler

    # It would give 0 at the last iteration that it is told of.
    return LRScheduler(mode, base_lr=lr, niters=num_updates + 1, offset=first_update)
