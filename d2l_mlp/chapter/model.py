"""The multilayer perceptron by hand, for any number of hidden layers, and in Gluon.

No hidden layer is softmax regression, one is the chapter's model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from mxnet import Context, nd
from mxnet.gluon import nn

from .. import _values
from .._checks import in_one_line, layers

Net = Callable[[nd.NDArray], nd.NDArray]
Params = Sequence[nd.NDArray]
#: Of scores and labels, each sample's loss.
Loss = Callable[[nd.NDArray, nd.NDArray], nd.NDArray]


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
        ValueError: a layer without units, or too wide for MXNet, another ``scale``, or
            a ``ctx`` that is no device of this machine.
    """
    hiddens = num_hiddens if isinstance(num_hiddens, Sequence) else [num_hiddens]
    sizes = [
        _values.whole_number("num_inputs", num_inputs),
        *(_values.whole_number("num_hiddens", units) for units in hiddens),
        _values.whole_number("num_outputs", num_outputs),
    ]
    he = isinstance(scale, str) and scale == "he"
    if not he and not (_values.is_number(scale) and float(scale) > 0):
        found = _values.brief(scale)
        raise ValueError(f"scale: found {found}, expected a number above 0, or 'he'")
    if ctx is not None:
        _values.instance("ctx", ctx, Context)
        with in_one_line(f"ctx: found {ctx}, expected a device that is there"):
            nd.zeros(1, ctx=ctx).wait_to_read()
    return draw_params(sizes, scale, ctx)


def draw_params(
    sizes: Sequence[int], scale: float | str, ctx: Context | None = None
) -> list[nd.NDArray]:
    """Return ``init_params`` of layers ``sizes``, inputs and outputs included."""
    params = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        deviation = math.sqrt(2 / inputs) if isinstance(scale, str) else scale
        with in_one_line(f"num_hiddens: found a layer of {inputs} by {outputs}"):
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
        dropout: share of the hidden units, in [0, 1), set to 0 in training; the others
            are divided by ``1 - dropout``.

    Raises:
        ValueError: no layer, one without its bias, shapes that do not fit each other,
            or a ``dropout`` out of its range.
    """
    _check_dropout(dropout)
    return net_of(layers(params), dropout)


def net_of(params: Sequence[nd.NDArray], dropout: float) -> Net:
    """Return the net of ``make_net``, over parameters that are known to fit."""
    pairs = list(zip(params[::2], params[1::2], strict=True))
    num_inputs = params[0].shape[0]

    def net(X: nd.NDArray) -> nd.NDArray:
        H = X.reshape((-1, num_inputs))
        for W, b in pairs[:-1]:
            H = relu(nd.dot(H, W) + b)
            if dropout:
                # Does nothing but within autograd.record().
                H = nd.Dropout(H, p=dropout)
        W, b = pairs[-1]
        return nd.dot(H, W) + b

    return net


def predict(image: np.ndarray, params: list[np.ndarray]) -> np.ndarray:
    """Return the probabilities ``(10,)`` of one image, by the hand-written net.

    Args:
        image: uint8 ``(28, 28)``, as ``photo.to_image`` gives it.
        params: ``[W1, b1, ...]``, float32.

    Raises:
        ValueError: either is something else.
    """
    if not isinstance(image, np.ndarray) or image.shape != (28, 28):
        raise ValueError(f"image: found {_values.brief(image)}, expected (28, 28)")
    params = _values.each("params", params, np.ndarray, "NumPy arrays")
    if params and params[0].shape[:1] != (784,):
        found = _values.brief(params[0])
        raise ValueError(f"params[0]: found {found}, expected (784, units)")
    X = nd.array(image.reshape(1, 1, 28, 28).astype(np.float32) / np.float32(255))
    scores = make_net([nd.array(param) for param in params])(X)
    return scores.softmax().asnumpy()[0]


def _check_dropout(dropout: float) -> None:
    if not (_values.is_number(dropout) and 0 <= dropout < 1):
        found = _values.brief(dropout)
        raise ValueError(f"dropout: found {found}, expected at least 0, below 1")


def gluon_twin(params: Sequence[nd.NDArray], dropout: float = 0.0) -> nn.Sequential:
    """Return Gluon's net of the same layers, started from a copy of ``params``."""
    _check_dropout(dropout)
    return twin_of(layers(params), dropout)


def twin_of(params: Sequence[nd.NDArray], dropout: float) -> nn.Sequential:
    """Return the net of ``gluon_twin``, from parameters that are known to fit."""
    twin = nn.Sequential()
    weights = params[::2]
    for W in weights[:-1]:
        twin.add(nn.Dense(W.shape[1], activation="relu", in_units=W.shape[0]))
        if dropout:
            twin.add(nn.Dropout(dropout))
    twin.add(nn.Dense(weights[-1].shape[1], in_units=weights[-1].shape[0]))
    twin.initialize(ctx=params[0].context)
    set_params(twin, params)
    return twin


def load_params(twin: nn.Sequential, params: Sequence[nd.NDArray]) -> None:
    """Copy the hand-written ``params`` into ``twin``, whose weights are transposed.

    Raises:
        ValueError: the two differ in the shapes of their layers.
    """
    if not isinstance(twin, (nn.Sequential, nn.HybridSequential)):
        found_twin = _values.brief(twin)
        raise ValueError(f"twin: found {found_twin}, expected a gluon.nn.Sequential")
    params = _values.each("params", params, nd.NDArray, "a list of NDArrays")
    found = _values.shapes(params)
    expected = []
    for layer in dense_layers(twin):
        if layer.bias is None:
            raise ValueError("twin: found a layer without bias, expected one in each")
        expected += [layer.weight.shape[::-1], layer.bias.shape]
    if found != expected:
        raise ValueError(f"params: found shapes {found}, expected {expected}")
    set_params(twin, params)


def set_params(twin: nn.Sequential, params: Sequence[nd.NDArray]) -> None:
    """Copy ``params``, which are known to fit, into ``twin``."""
    for layer, W, b in zip(dense_layers(twin), params[::2], params[1::2], strict=True):
        layer.weight.set_data(W.T)
        layer.bias.set_data(b)


def dense_layers(twin: nn.Sequential) -> list[nn.Dense]:
    """Return the layers of ``twin`` that have weights."""
    return [layer for layer in twin if hasattr(layer, "weight")]
