"""The first layer's weights as pictures, which show what each hidden unit looks for."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from mxnet import nd

from .._values import numeric


def plot_weights(W: nd.NDArray | np.ndarray) -> Figure:
    """Return a figure of the first layer's weights, a picture of 28×28 for each unit.

    Red pixels raise the unit's value, blue ones lower it, white is 0. All units share
    one scale.

    Args:
        W: ``(784, units)``; the first 64 units are shown.

    Raises:
        ValueError: ``W`` is not of 784 inputs and some units, or not of finite numbers.
    """
    of = "(784, units)"
    weights = numeric("W", W, lambda s: len(s) == 2 and s[0] == 784 and s[1] > 0, of)
    mosaic, limit = weights_mosaic(weights[:, :64], num_cols=16)
    height, width = (side / 30 for side in mosaic.shape)
    figure, axes = plt.subplots(
        figsize=(0.5 * width + 0.8, 0.5 * height + 0.1), layout="constrained"
    )
    scale = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    # One image for all units: 64 axes would be slow and large.
    picture = axes.imshow(mosaic, interpolation="none", **scale)
    axes.axis("off")
    figure.colorbar(picture, label="weight", fraction=0.03, pad=0.01)
    return figure


def weights_mosaic(weights: np.ndarray, num_cols: int) -> tuple[np.ndarray, float]:
    """Return the units' 28×28 weights side by side, NaN between them, and a limit.

    Args:
        weights: ``(784, units)``.
        num_cols: units in a row, if there are as many.

    Returns:
        ``(30 * rows, 30 * columns)``, and the magnitude at which colours should end.
        Some weights lie beyond it: the few largest would leave all others pale.
    """
    num_units = weights.shape[1]
    num_cols = min(num_cols, num_units)
    num_rows = -(-num_units // num_cols)
    tiles = np.full((num_rows * num_cols, 30, 30), np.nan, weights.dtype)
    tiles[:num_units, 1:-1, 1:-1] = weights.T.reshape(-1, 28, 28)
    rows = tiles.reshape(num_rows, num_cols, 30, 30).swapaxes(1, 2)
    limit = float(np.quantile(np.abs(weights), 0.995)) or 1.0
    return rows.reshape(30 * num_rows, 30 * num_cols), limit
