"""Checks of plain values, each error with what was found and expected; and texts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mxnet import nd

T = TypeVar("T")


def plural(number: int, noun: str) -> str:
    """Return ``"1 epoch"``, ``"2 epochs"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def brief(value: Any) -> str:
    """Return ``value`` as an error shows it: in one short line."""
    if isinstance(value, (np.ndarray, nd.NDArray)):
        return f"{type(value).__name__} {np.dtype(value.dtype)} {value.shape}"
    try:
        text = repr(value)
    except ValueError:
        # Python does not write out a number of thousands of digits.
        return type(value).__name__
    return text if len(text) <= 60 and "\n" not in text else type(value).__name__


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return ``value`` as an int; refuse what is not a whole number from ``least``."""
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, (int, np.integer))
        or value < least
    ):
        raise ValueError(
            f"{name}: found {brief(value)}, expected a whole number from {least} on"
        )
    return int(value)


def seed(value: Any, bits: int = 31) -> int:
    """Return ``value``; refuse what MXNet would cut short and say nothing."""
    number = whole_number("seed", value, least=0)
    if number >= 2**bits:
        raise ValueError(f"seed: found {brief(value)}, expected 0 to {2**bits - 1}")
    return number


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is one finite number, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return False
    try:
        return math.isfinite(value)
    # A whole number beyond the largest float; or a complex one.
    except (OverflowError, TypeError):
        return False


def positive(name: str, value: Any) -> float:
    """Return ``value`` as a float; refuse what is not a finite number above 0."""
    if not (is_number(value) and value > 0):
        raise ValueError(
            f"{name}: found {brief(value)}, expected a finite number above 0"
        )
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """Return ``value`` as a float; refuse what is not a finite number from 0 on."""
    if not (is_number(value) and value >= 0):
        raise ValueError(
            f"{name}: found {brief(value)}, expected a finite number, at least 0"
        )
    return float(value)


def flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False, a text for instance."""
    if not (isinstance(value, (int, np.bool_)) and value in (0, 1)):
        raise ValueError(f"{name}: found {brief(value)}, expected True or False")


def one_of(name: str, value: T, choices: Sequence[T]) -> T:
    """Return ``value``; refuse what is none of ``choices``."""
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: found {brief(value)}, expected one of {expected}")
    return value


def function(name: str, value: Any, optional: bool = False) -> None:
    """Refuse what cannot be called."""
    if not (callable(value) or (optional and value is None)):
        raise ValueError(f"{name}: found {brief(value)}, expected a function")


def instance(name: str, value: Any, kind: type[T]) -> T:
    """Return ``value``; refuse what is not a ``kind``."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}: found {brief(value)}, expected {kind.__name__}")
    return value


def path(name: str, value: Any) -> Path:
    """Return ``value`` as a path; refuse what cannot be one."""
    if not isinstance(value, (str, os.PathLike)) or "\0" in os.fspath(value):
        raise ValueError(f"{name}: found {brief(value)}, expected a path")
    return Path(value)


def sequence(name: str, value: Any, of: str) -> list:
    """Return the elements of ``value``; refuse what has none to give, and texts."""
    if isinstance(value, (str, bytes)) or not (
        isinstance(value, Iterable) or hasattr(value, "__getitem__")
    ):
        raise ValueError(f"{name}: found {brief(value)}, expected {of}")
    return list(value)


def each(name: str, value: Any, kind: type[T], of: str) -> list[T]:
    """Return the elements of ``value``; refuse one that is not a ``kind``."""
    found = sequence(name, value, of)
    return [instance(f"{name}[{i}]", one, kind) for i, one in enumerate(found)]


def numeric(name: str, value: Any, fits: Callable[[tuple], bool], of: str) -> Any:
    """Return ``value`` as a NumPy array; refuse other shapes, texts and NaN."""
    try:
        found = value.asnumpy() if isinstance(value, nd.NDArray) else np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: found {error}, expected {of}") from None
    if not fits(found.shape):
        raise ValueError(f"{name}: found shape {found.shape}, expected {of}")
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name}: found {found.dtype}, expected {of} of numbers")
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: found NaN or infinity, expected finite numbers")
    return found


def shapes(params: Sequence[Any]) -> list[tuple[int, ...]]:
    """Return the shape of each array."""
    return [tuple(param.shape) for param in params]
