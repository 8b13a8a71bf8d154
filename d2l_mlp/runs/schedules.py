"""How the learning rate falls over a run, by GluonCV's schedules."""

from __future__ import annotations

from .._values import positive, whole_number
from ..chapter.step import LearningRate

#: Modes of GluonCV's LRScheduler.
SCHEDULES = ("constant", "linear", "poly", "cosine")


def make_schedule(
    mode: str, lr: float, num_updates: int, first_update: int = 0
) -> LearningRate:
    """Return ``lr``, or a function that lets it fall over ``num_updates`` updates.

    The last update's learning rate is the last above 0.

    Args:
        mode: one of ``SCHEDULES``.
        lr: learning rate of the first update, above 0.
        num_updates: updates of the whole run.
        first_update: the number by which the first one is asked for.

    Raises:
        ValueError: another ``mode``, an ``lr`` that is no finite number above 0, or
            another number that is no whole one.
    """
    check_schedule(mode)
    positive("lr", lr)
    if mode == "constant":
        return lr
    whole_number("num_updates", num_updates)
    whole_number("first_update", first_update, least=0)
    from gluoncv.utils import LRScheduler

    # It would give 0 at the last iteration that it is told of.
    return LRScheduler(mode, base_lr=lr, niters=num_updates + 1, offset=first_update)


def check_schedule(mode: str) -> None:
    """Refuse what is no way to let a learning rate fall."""
    if mode not in SCHEDULES:
        expected = ", ".join(SCHEDULES)
        raise ValueError(f"schedule: found {mode!r}, expected one of {expected}")
