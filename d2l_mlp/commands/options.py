"""What the options of commands may be; others are refused with exit code 2."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import typer

# A wider layer would take more than 3 GB for its weights and their gradient.
MOST_HIDDENS = 500_000


class KVStore(str, enum.Enum):
    """How several processes share what they learn."""

    LOCAL = "local"
    DIST_SYNC = "dist_sync"
    DIST_ASYNC = "dist_async"


def parse_hiddens(text: str) -> tuple[int, ...]:
    """Return the units of each layer, from text as 256,128."""
    try:
        hiddens = tuple(int(part) for part in text.split(","))
    except ValueError:
        hiddens = ()
    if not hiddens or min(hiddens) < 1 or max(hiddens) > MOST_HIDDENS:
        raise typer.BadParameter(
            f"found {text!r}, expected whole numbers from 1 to {MOST_HIDDENS}, "
            "such as 256 or 256,128"
        )
    return hiddens


def whole(
    help: str, least: int = 1, most: int | None = None, name: str | None = None
) -> Any:
    """Return an option for a whole number from ``least`` on, to ``most`` if given."""
    to = "on" if most is None else f"to {most}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise typer.BadParameter(
                f"found {text!r}, expected a whole number from {least} {to}"
            )
        return number

    names = [] if name is None else [name]
    return typer.Option(*names, parser=parse, metavar="<integer>", help=help)


def parse_number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    """Return the number that ``text`` is, if it ``fits``."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and fits(number)):
        raise typer.BadParameter(f"found {text!r}, expected {expected}")
    return number


def parse_lr(text: str) -> float:
    """Return a learning rate."""
    return parse_number(text, lambda lr: lr > 0, "a finite number above 0")


def parse_scale(text: str) -> float | str:
    """Return a standard deviation, or ``"he"``."""
    if text == "he":
        return text
    expected = "a finite number above 0, or he"
    return parse_number(text, lambda scale: scale > 0, expected)


def parse_dropout(text: str) -> float:
    """Return a share below 1."""
    return parse_number(text, lambda share: 0 <= share < 1, "at least 0, below 1")


def parse_wd(text: str) -> float:
    """Return a weight decay."""
    return parse_number(text, lambda wd: wd >= 0, "a finite number from 0 on")


class Schedule(str, enum.Enum):
    """How the learning rate falls; the modes of ``run.SCHEDULES``."""

    CONSTANT = "constant"
    LINEAR = "linear"
    POLY = "poly"
    COSINE = "cosine"
