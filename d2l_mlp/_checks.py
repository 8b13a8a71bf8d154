"""Checks of what callers give: each error says what was found and what is expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mxnet import gluon, nd


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return ``value`` as an int; refuse what is not a whole number from ``least``."""
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, (int, np.integer))
        or value < least
    ):
        raise ValueError(
            f"{name}: found {value!r}, expected a whole number from {least} on"
        )
    return int(value)


def positive(name: str, value: Any) -> float:
    """Return ``value`` as a float; refuse what is not a finite number above 0."""
    number = value if isinstance(value, (int, float, np.number)) else math.nan
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name}: found {value!r}, expected a finite number above 0")
    return float(number)


def parameters(params: Sequence[nd.NDArray]) -> None:
    """Refuse anything but arrays with gradients attached."""
    for i, param in enumerate(params):
        if getattr(param, "grad", None) is None:
            kind = type(param).__name__
            raise ValueError(
                f"params[{i}]: found {kind} without a gradient, "
                "expected an NDArray after attach_grad()"
            )


def optimizer(
    params: Sequence[nd.NDArray] | None, lr: float | None, trainer: gluon.Trainer | None
) -> None:
    """Refuse a learning rate that cannot learn, and updates that nobody makes."""
    if trainer is not None:
        if not hasattr(trainer, "step"):
            kind = type(trainer).__name__
            raise ValueError(f"trainer: found {kind}, expected a gluon.Trainer")
        positive("the trainer's learning_rate", trainer.learning_rate)
    elif not params or lr is None:
        raise ValueError("found neither trainer nor params and lr, expected one")
    else:
        positive("lr", lr)
        parameters(params)


def batch(X: nd.NDArray, y: nd.NDArray, scores: tuple[int, ...]) -> None:
    """Hold a batch against the shape of the net's output, ``(batch, classes)``.

    The loss would take a label out of range for the nearest class and say nothing.
    """
    n = X.shape[0]
    if y.shape != (n,):
        raise ValueError(f"labels: found shape {y.shape}, expected ({n},) as X has {n}")
    if len(scores) != 2 or scores[0] != n:
        raise ValueError(
            f"net: found output {scores} for X {X.shape}, expected ({n}, classes)"
        )
    # Waits for the labels alone, which the loader has ready, not for the net.
    labels = y.asnumpy()
    if not (labels.min() >= 0 and labels.max() < scores[1]):
        raise ValueError(
            f"labels: found {labels.min()} to {labels.max()}, "
            f"expected 0 to {scores[1] - 1}, one for each output of the net"
        )
    if labels.dtype.kind == "f" and (labels != labels.round()).any():
        raise ValueError("labels: found fractions, expected whole numbers")
