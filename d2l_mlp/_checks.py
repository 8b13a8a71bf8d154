"""Checks of what callers give: each error says what was found and what is expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mxnet import MXNetError

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
    if len({id(param) for param in params}) < len(params):
        raise ValueError("params: found an array twice, expected each once")
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


def weight_decay(
    wd: float, lr: float | None = None, trainer: gluon.Trainer | None = None
) -> None:
    """Refuse a weight decay that is none, or that a trainer would not see."""
    if not (isinstance(wd, (int, float)) and 0 <= wd < math.inf):
        raise ValueError(f"wd: found {wd!r}, expected a finite number, at least 0")
    if isinstance(lr, (int, float)) and lr * wd >= 1:
        raise ValueError(
            f"wd: found {wd} at learning rate {lr}, expected a product below 1: the "
            "parameters would change their signs"
        )
    if wd and trainer is not None:
        raise ValueError(
            f"wd: found {wd} beside a trainer, expected it among the trainer's own "
            "options"
        )


def scores(
    net: Callable[[nd.NDArray], nd.NDArray], X: nd.NDArray, y: nd.NDArray
) -> nd.NDArray:
    """Return ``net(X)``; refuse a batch that does not fit ``net``, or its labels.

    The loss would take a label out of range for the nearest class and say nothing.
    """
    n = X.shape[0]
    if y.shape != (n,):
        raise ValueError(f"labels: found shape {y.shape}, expected ({n},) as X has {n}")
    try:
        y_hat = net(X)
    except (MXNetError, ValueError) as error:
        cause = str(error).strip().splitlines()[-1]
        raise ValueError(
            f"net: found X {X.shape}, which it cannot take: {cause}"
        ) from None
    if y_hat.ndim != 2 or y_hat.shape[0] != n:
        raise ValueError(
            f"net: found output {y_hat.shape} for X {X.shape}, expected ({n}, classes)"
        )
    # Waits for the labels alone, which the loader has ready, not for the net.
    labels(y.asnumpy(), y_hat.shape[1])
    return y_hat


def labels(found: np.ndarray, classes: int) -> None:
    """Refuse labels that are not whole numbers from 0 to ``classes - 1``."""
    if not (found.min() >= 0 and found.max() < classes):
        raise ValueError(
            f"labels: found {found.min()} to {found.max()}, "
            f"expected 0 to {classes - 1}, one for each output of the net"
        )
    if found.dtype.kind == "f" and (found != found.round()).any():
        raise ValueError("labels: found fractions, expected whole numbers")
