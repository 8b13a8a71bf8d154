"""The multilayer perceptron by hand, for any number of hidden layers, and in Gluon.

No hidden layer is softmax regression, one is the chapter's model.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mxnet import Context, nd
from mxnet.gluon import nn

from ._checks import whole_number
from ._files import write_whole

Net = Callable[[nd.NDArray], nd.NDArray]


def relu(X: nd.NDArray) -> nd.NDArray:
    """Return the larger of each element and 0, in the shape of ``X``."""
    return nd.maximum(X, 0)


def init_params(
    num_hiddens: int | Sequence[int] = 256,
    num_inputs: int = 784,
    num_outputs: int = 10,
    scale: float | str = 0.01,
    ctx: Context | None = None,
) -> list[nd.NDArray]:
    """Return ``[W1, b1, W2, b2, ...]``, float32, with gradients attached.

    Weights ``(inputs, outputs)`` are drawn from a normal distribution with standard
    deviation ``scale``, biases ``(outputs,)`` are zero.

    Args:
        num_hiddens: units of the hidden layer, or of each; ``()`` for none.
        num_inputs: pixels of an image.
        num_outputs: classes.
        scale: standard deviation of the weights, above 0; or ``"he"`` for
            ``sqrt(2 / inputs)`` of each layer, which keeps the signal's size through
            layers of ReLU (He et al. 2015, arXiv:1502.01852, equation 10).
        ctx: device; MXNet's current one by default.

    Raises:
        ValueError: a layer without units, or another ``scale``.
    """
    hiddens = num_hiddens if isinstance(num_hiddens, Sequence) else [num_hiddens]
    sizes = [
        whole_number("num_inputs", num_inputs),
        *(whole_number("num_hiddens", units) for units in hiddens),
        whole_number("num_outputs", num_outputs),
    ]
    if scale != "he" and not (isinstance(scale, (int, float)) and 0 < scale < math.inf):
        raise ValueError(f"scale: found {scale!r}, expected a number above 0, or 'he'")
    params = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        deviation = math.sqrt(2 / inputs) if isinstance(scale, str) else scale
        W = nd.random.normal(scale=deviation, shape=(inputs, outputs), ctx=ctx)
        b = nd.zeros(outputs, ctx=ctx)
        params += [W, b]
    for param in params:
        param.attach_grad()
    return params


def make_net(params: Sequence[nd.NDArray], dropout: float = 0.0) -> Net:
    """Return the net over ``params``: images ``(batch, ...)`` to ``(batch, classes)``.

    The net is a plain function; it sees every later change of ``params``.

    Args:
        params: ``[W1, b1, ...]``.
        dropout: share of the hidden units, in [0, 1), that is left out while the net
            learns; the others are scaled up to make up for them.

    Raises:
        ValueError: no layer, one without its bias, or a ``dropout`` out of its range.
    """
    check_dropout(dropout)
    if not params or len(params) % 2:
        raise ValueError(
            f"params: found {len(params)} arrays, expected W and b for each layer"
        )
    layers = list(zip(params[::2], params[1::2], strict=True))
    num_inputs = params[0].shape[0]

    def net(X: nd.NDArray) -> nd.NDArray:
        H = X.reshape((-1, num_inputs))
        for W, b in layers[:-1]:
            H = relu(nd.dot(H, W) + b)
            if dropout:
                # Does nothing but within autograd.record().
                H = nd.Dropout(H, p=dropout)
        W, b = layers[-1]
        return nd.dot(H, W) + b

    return net


def check_dropout(dropout: float) -> None:
    """Refuse what is not a share in [0, 1)."""
    if not (isinstance(dropout, (int, float)) and 0 <= dropout < 1):
        raise ValueError(f"dropout: found {dropout!r}, expected at least 0, below 1")


def save_params(params: Sequence[nd.NDArray], path: str | os.PathLike) -> None:
    """Write ``[W1, b1, ...]`` as NumPy's ``.npz``, whole or not at all."""
    arrays = {
        f"{kind}{layer + 1}": params[2 * layer + i].asnumpy()
        for layer in range(len(params) // 2)
        for i, kind in enumerate("Wb")
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(Path(path), content.getbuffer())


def load_arrays(path: str | os.PathLike) -> list[np.ndarray]:
    """Return ``[W1, b1, ...]`` as ``save_params`` wrote them, float32.

    Raises:
        ValueError: the file holds something else; nothing in it is run.
        OSError: it cannot be read.
    """
    expected = "expected W1, b1, … of a net for 784 pixels and 10 classes"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError:
        raise
    # NumPy's reader raises nearly anything on damaged files, a SyntaxError too.
    except Exception as error:
        raise ValueError(f"{path}: found no parameters ({error}), {expected}") from None
    names = [f"{kind}{i + 1}" for i in range(len(arrays) // 2) for kind in "Wb"]
    if not names or set(names) != set(arrays):
        raise ValueError(f"{path}: found {', '.join(arrays) or 'nothing'}, {expected}")
    shapes, inputs = [], 784
    for name in names[1::2]:
        units = arrays[name].shape[0] if arrays[name].ndim == 1 else 0
        shapes += [(inputs, units), (units,)]
        inputs = units
    found = [arrays[name].shape for name in names]
    kinds = {arrays[name].dtype.kind for name in names}
    if found != shapes or inputs != 10 or kinds != {"f"}:
        raise ValueError(f"{path}: found shapes {found}, {expected}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError(f"{path}: found NaN or infinity, {expected}")
    return [arrays[name].astype(np.float32) for name in names]


def gluon_twin(params: Sequence[nd.NDArray], dropout: float = 0.0) -> nn.Sequential:
    """Return Gluon's net of the same layers, started from a copy of ``params``."""
    twin = nn.Sequential()
    weights = params[::2]
    for W in weights[:-1]:
        twin.add(nn.Dense(W.shape[1], activation="relu", in_units=W.shape[0]))
        if dropout:
            twin.add(nn.Dropout(dropout))
    twin.add(nn.Dense(weights[-1].shape[1], in_units=weights[-1].shape[0]))
    twin.initialize(ctx=params[0].context)
    load_params(twin, params)
    return twin


def load_params(twin: nn.Sequential, params: Sequence[nd.NDArray]) -> None:
    """Copy the hand-written ``params`` into ``twin``, whose weights are transposed.

    Raises:
        ValueError: the two differ in the shapes of their layers.
    """
    layers = [layer for layer in twin if hasattr(layer, "weight")]
    found = [param.shape for param in params]
    expected = []
    for layer in layers:
        expected += [layer.weight.shape[::-1], layer.bias.shape]
    if found != expected:
        raise ValueError(f"params: found shapes {found}, expected {expected}")
    for layer, W, b in zip(layers, params[::2], params[1::2], strict=True):
        layer.weight.set_data(W.T)
        layer.bias.set_data(b)
