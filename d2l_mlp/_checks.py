"""Checks of what a training is given: parameters, updates, batches, a net's output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from mxnet import MXNetError, nd

from . import _values
from ._values import brief

if TYPE_CHECKING:
    from mxnet import gluon


def parameters(params: Any) -> list[nd.NDArray]:
    """Return ``params`` as a list; refuse all but arrays with gradients attached."""
    params = _values.sequence("params", params, "NDArrays after attach_grad()")
    if len({id(param) for param in params}) < len(params):
        raise ValueError("params: found an array twice, expected each once")
    for i, param in enumerate(params):
        if getattr(param, "grad", None) is None:
            kind = type(param).__name__
            raise ValueError(
                f"params[{i}]: found {kind} without a gradient, "
                "expected an NDArray after attach_grad()"
            )
    return params


def layers(params: Any) -> list[nd.NDArray]:
    """Return ``[W1, b1, ...]`` as a list; refuse arrays that do not make up a net."""
    params = _values.each("params", params, nd.NDArray, "a list of NDArrays")
    if not params or len(params) % 2:
        raise ValueError(
            f"params: found {len(params)} arrays, expected W and b for each layer"
        )
    found = _values.shapes(params)
    expected = layer_shapes(found[0][0], [shape[0] for shape in found[1::2]])
    if found != expected:
        raise ValueError(
            f"params: found shapes {found}, expected {expected}: W (inputs, outputs) "
            "and b (outputs,) for each layer"
        )
    return params


def layer_shapes(inputs: int, units: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of ``[W1, b1, ...]`` of layers with so many units."""
    shapes: list[tuple[int, ...]] = []
    for outputs in units:
        shapes += [(inputs, outputs), (outputs,)]
        inputs = outputs
    return shapes


def param_names(num_params: int) -> Iterator[str]:
    """Yield ``W1``, ``b1``, ``W2``, ..., under which files hold parameters."""
    # One by one: a file may claim any number of them.
    return (f"{'Wb'[i % 2]}{i // 2 + 1}" for i in range(num_params))


def optimizer(
    params: Sequence[nd.NDArray] | None, lr: Any, trainer: gluon.Trainer | None
) -> None:
    """Refuse a learning rate that cannot learn, and updates that nobody makes."""
    if trainer is not None:
        if not hasattr(trainer, "step"):
            kind = type(trainer).__name__
            raise ValueError(f"trainer: found {kind}, expected a gluon.Trainer")
        rate = getattr(trainer, "learning_rate", None)
        _values.positive("the trainer's learning_rate", rate)
    elif not params or lr is None:
        raise ValueError("found neither trainer nor params and lr, expected one")
    elif not callable(lr):
        _values.positive("lr", lr)


def update(params: Any, lr: float, batch_size: float, wd: float) -> list[nd.NDArray]:
    """Return ``params`` as a list; refuse what ``sgd`` cannot update them by."""
    params = parameters(params)
    if not params:
        raise ValueError("params: found none, expected at least one array")
    _values.positive("batch_size", batch_size)
    for name, value in (("lr", lr), ("wd", wd)):
        _values.not_negative(name, value)
    return params


def weight_decay(
    wd: float, lr: float | None = None, trainer: gluon.Trainer | None = None
) -> None:
    """Refuse a weight decay that is none, or that a trainer would not see."""
    _values.not_negative("wd", wd)
    if lr is not None and _values.is_number(lr) and lr * wd >= 1:
        raise ValueError(
            f"wd: found {wd} at learning rate {lr}, expected a product below 1: the "
            "parameters would change their signs"
        )
    if wd and trainer is not None:
        raise ValueError(
            f"wd: found {wd} beside a trainer, expected it among the trainer's own "
            "options"
        )


@contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Give MXNet's error, which is a trace of its C++ code, as ``what`` and its end."""
    try:
        yield
    except MXNetError as error:
        raise ValueError(f"{what} ({last_line(error)})") from None


def last_line(error: Exception) -> str:
    """Return what an error of MXNet's ends with, which is the cause."""
    return str(error).strip().splitlines()[-1].strip()


def passes(
    num_epochs: int,
    first_epoch: int,
    num_updates: int,
    batch_size: int,
    seed: int | None,
) -> None:
    """Refuse what is no number of epochs, updates or images, or no seed."""
    _values.whole_number("num_epochs", num_epochs)
    _values.whole_number("batch_size", batch_size)
    _values.whole_number("first_epoch", first_epoch)
    _values.whole_number("num_updates", num_updates, least=0)
    if seed is not None:
        _values.whole_number("seed", seed, least=0)


def observers(**functions: Any) -> None:
    """Refuse what is there and cannot be called."""
    for name, value in functions.items():
        _values.function(name, value, optional=True)


def batches(name: str, data_iter: Any) -> None:
    """Refuse what gives no batches."""
    if isinstance(data_iter, str) or not (
        hasattr(data_iter, "__iter__") or hasattr(data_iter, "__getitem__")
    ):
        raise ValueError(
            f"{name}: found {brief(data_iter)}, expected batches (X, y), as "
            "load_data_fashion_mnist gives them"
        )


def each_batch(name: str, data_iter: Any) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
    """Return the batches of ``data_iter``, each checked as it comes."""
    batches(name, data_iter)
    return map(batch, data_iter)


def batch(found: Any) -> tuple[nd.NDArray, nd.NDArray]:
    """Return a batch's X and y; refuse what is not a pair of NDArrays."""
    if not (isinstance(found, (tuple, list)) and len(found) == 2):
        raise ValueError(f"batch: found {brief(found)}, expected a pair (X, y)")
    X, y = (
        _values.instance(f"the batch's {name}", array, nd.NDArray)
        for name, array in zip("Xy", found, strict=True)
    )
    if 0 in X.shape or 0 in y.shape:
        raise ValueError(
            f"batch: found X {X.shape} and y {y.shape}, expected at least one sample"
        )
    n = X.shape[0]
    if y.shape != (n,):
        raise ValueError(f"labels: found shape {y.shape}, expected ({n},) as X has {n}")
    return X, y


def same_shape(name: str, found: Any, like: np.ndarray) -> np.ndarray:
    """Return an array that a function gave; refuse another shape than ``like`` has."""
    if not isinstance(found, np.ndarray) or found.shape != like.shape:
        raise ValueError(
            f"{name}: found {brief(found)} from it, expected {brief(like)}, as it is "
            "given"
        )
    return found


def checked_net(
    net: Callable[[nd.NDArray], nd.NDArray],
) -> Callable[[nd.NDArray], nd.NDArray]:
    """Return ``net``; what it is given and gives is checked at each call."""
    _values.function("net", net)

    def checked(X: nd.NDArray) -> nd.NDArray:
        n = X.shape[0]
        try:
            y_hat = net(X)
        except (MXNetError, ValueError) as error:
            raise ValueError(
                f"net: found X {X.shape}, which it cannot take: {last_line(error)}"
            ) from None
        if not isinstance(y_hat, nd.NDArray):
            raise ValueError(
                f"net: found {brief(y_hat)} from it, expected an NDArray ({n}, classes)"
            )
        if y_hat.ndim != 2 or y_hat.shape[0] != n:
            raise ValueError(
                f"net: found output {y_hat.shape} for X {X.shape}, expected ({n}, "
                "classes)"
            )
        return y_hat

    return checked


def checked_loss(
    loss: Callable[[nd.NDArray, nd.NDArray], nd.NDArray],
) -> Callable[[nd.NDArray, nd.NDArray], nd.NDArray]:
    """Return ``loss``; the labels and what it gives are checked at each call."""
    _values.function("loss", loss)

    def checked(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
        labels(y.asnumpy(), y_hat.shape[1])
        return losses(loss(y_hat, y))

    return checked


def losses(found: Any) -> nd.NDArray:
    """Return what a loss gave; refuse anything but an array."""
    if not isinstance(found, nd.NDArray):
        raise ValueError(
            f"loss: found {brief(found)} from it, expected an NDArray, the loss of "
            "each sample"
        )
    return found


def labels(found: np.ndarray, classes: int) -> None:
    """Refuse labels that are not whole numbers from 0 to ``classes - 1``."""
    if found.dtype == np.int32:
        # In one pass: as unsigned numbers those below 0 are large.
        fits = np.maximum.reduce(found.view(np.uint32)) < classes
    else:
        fits = found.min() >= 0 and found.max() < classes
    if not fits:
        raise ValueError(
            f"labels: found {found.min()} to {found.max()}, "
            f"expected 0 to {classes - 1}, one for each output of the net"
        )
    if found.dtype.kind == "f" and (found != found.round()).any():
        raise ValueError("labels: found fractions, expected whole numbers")


def arrays(images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse arrays of another kind or shape than a loader has."""
    for name, array in (("images", images), ("labels", labels)):
        _values.instance(name, array, np.ndarray)
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 1 or 0 in shape[1:]:
        raise ValueError(
            f"images: found {images.dtype} {shape}, "
            "expected uint8 (n, height, width, 1)"
        )
    if labels.shape != shape[:1]:
        raise ValueError(f"labels: found shape {labels.shape}, expected {shape[:1]}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels: found {labels.dtype}, expected whole numbers")


def size(resize: int | tuple[int, int]) -> tuple[int, int]:
    """Return the width and height in pixels that ``resize`` asks for."""
    sides = resize if isinstance(resize, (tuple, list)) else (resize, resize)
    if len(sides) != 2:
        raise ValueError(f"resize: found {resize}, expected a side or (width, height)")
    width, height = (_values.whole_number("resize", side) for side in sides)
    return width, height


def part(part: tuple[int, int], n: int, batch_size: int) -> tuple[int, int]:
    """Return a worker's rank and their number; refuse a batch with too few images."""
    if not (isinstance(part, (tuple, list)) and len(part) == 2):
        raise ValueError(f"part: found {brief(part)}, expected (rank, workers)")
    rank = _values.whole_number("part[0]", part[0], least=0)
    workers = _values.whole_number("part[1]", part[1], least=rank + 1)
    last = n % batch_size or min(n, batch_size)
    if 0 < last < workers:
        raise ValueError(
            f"part: found {workers} workers for a last batch of {last} images (of {n}, "
            f"in batches of {batch_size}), expected at least one image for each: take "
            "another batch_size, or fewer workers"
        )
    return rank, workers
