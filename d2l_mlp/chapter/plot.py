"""Pictures: images with their labels, the first layer's weights, and where they go.

Without a display or a notebook the figures are drawn all the same, to be saved with
``figure.savefig`` or ``pyplot.savefig``. By matplotlib alone: GluonCV's ``plot_image``
takes colour images only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from mxnet import nd

from .._values import each, is_number, numeric, sequence, shown, whole_number

Images: TypeAlias = nd.NDArray | np.ndarray


def use_svg_display() -> None:
    """Draw figures as SVG in a notebook; elsewhere there is nothing to do."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        # Without salt and date, the same figure is the same bytes in a kept notebook.
        plt.rcParams["svg.hashsalt"] = "d2l_mlp"
        set_matplotlib_formats("svg", metadata={"Date": None})


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set the size of the figures to come, ``(width, height)`` in inches, as SVG.

    Raises:
        ValueError: not two finite numbers above 0.
    """
    sides = sequence("figsize", figsize, "(width, height)")
    if len(sides) != 2 or not all(is_number(side) and side > 0 for side in sides):
        raise ValueError(
            f"figsize: found {shown(figsize)}, expected (width, height), two finite "
            "numbers above 0"
        )
    use_svg_display()
    plt.rcParams["figure.figsize"] = sides


def show_fashion_mnist(
    images: Images | Sequence[Images], labels: Sequence[str]
) -> None:
    """Show images side by side, each under its label, in a new pyplot figure.

    Args:
        images: ``(n, 1, 28, 28)``, or n arrays of 784 pixels of any shape and scale.
        labels: a text for each image; images without one are left out.

    Raises:
        ValueError: no images or labels, or an image of another size.
    """
    use_svg_display()
    _draw_images(images, labels, cmap="viridis", size=12)


def plot_predictions(
    images: Images | Sequence[Images],
    true_labels: Sequence[str],
    pred_labels: Sequence[str],
) -> Figure:
    """Return a figure of images, each under its true and its predicted label.

    A wrong prediction is in red and has a cross before it. See ``show_fashion_mnist``.

    Raises:
        ValueError: likewise, or there are more labels of one kind than of the other.
    """
    true_labels, pred_labels = (
        each(name, labels, str, "a list of texts")
        for name, labels in (("true_labels", true_labels), ("pred_labels", pred_labels))
    )
    if len(true_labels) != len(pred_labels):
        raise ValueError(
            f"pred_labels: found {len(pred_labels)}, expected {len(true_labels)}, as "
            "many as true_labels"
        )
    pairs = list(zip(true_labels, pred_labels, strict=True))
    titles = [f"{t}\n{p if t == p else '✗ ' + p}" for t, p in pairs]
    figure = _draw_images(images, titles, cmap="gray", size=14)
    for axes, (true_label, pred_label) in zip(figure.axes, pairs, strict=False):
        if true_label != pred_label:
            axes.title.set_color("tab:red")
    first = figure.axes[0]
    first.text(
        -0.1,
        1,
        "true\nthe net's",
        transform=first.title.get_transform(),
        fontsize=first.title.get_fontsize(),
        ha="right",
        va="baseline",
        color="dimgray",
    )
    return figure


def plot_weights(W: Images, num_cols: int = 16, num_rows: int = 4) -> Figure:
    """Return a figure of the first layer's weights, a picture of 28×28 for each unit.

    Red lights up the unit, blue quiets it, white is 0; one scale serves all units.

    Args:
        W: ``(784, units)``; the first ``num_cols * num_rows`` units are shown.
        num_cols: pictures in a row.
        num_rows: rows.

    Raises:
        ValueError: ``W`` is not of 784 inputs and some units, or not of finite numbers;
            or nothing is to be shown.
    """
    whole_number("num_cols", num_cols)
    whole_number("num_rows", num_rows)
    of = "(784, units)"
    weights = numeric("W", W, lambda s: len(s) == 2 and s[0] == 784 and s[1] > 0, of)
    units = weights.T[: num_cols * num_rows].reshape(-1, 28, 28)
    num_rows = -(-len(units) // num_cols)
    # One array for all, 2 empty pixels between them: 64 axes would be slow and large.
    mosaic = np.full((30 * num_rows, 30 * num_cols), np.nan)
    for i, unit in enumerate(units):
        top, left = 30 * (i // num_cols), 30 * (i % num_cols)
        mosaic[top : top + 28, left : left + 28] = unit
    # The few largest weights would leave all others pale.
    limit = float(np.quantile(np.abs(units), 0.995)) or 1.0
    figure, axes = plt.subplots(
        figsize=(0.75 * num_cols + 0.8, 0.75 * num_rows), layout="constrained"
    )
    scale = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    picture = axes.imshow(mosaic, interpolation="none", **scale)
    axes.axis("off")
    figure.colorbar(picture, label="weight", fraction=0.03, pad=0.01)
    return figure


def _draw_images(
    images: Images | Sequence[Images], labels: Sequence[str], cmap: str, size: float
) -> Figure:
    images = sequence("images", images, "a list of images")
    # Their elements may be anything: matplotlib writes it out, as for gluonbook.
    labels = sequence("labels", labels, "a list of texts")
    pictures = [_as_picture(image) for image, _ in zip(images, labels, strict=False)]
    if not pictures:
        raise ValueError("images: found none with a label, expected at least one")
    figsize = (size, 0.8 + size / len(pictures))
    figure, grid = plt.subplots(
        1, len(pictures), figsize=figsize, squeeze=False, layout="constrained"
    )
    for axes, picture, label in zip(grid.flat, pictures, labels, strict=False):
        # "none" keeps the 28×28 pixels as they are in an SVG, small and sharp.
        axes.imshow(picture, cmap=cmap, interpolation="none")
        axes.set_title(label)
        axes.xaxis.set_visible(False)
        axes.yaxis.set_visible(False)
    return figure


def _as_picture(image: Images) -> np.ndarray:
    pixels = numeric("image", image, lambda s: np.prod(s) == 784, "784 pixels")
    return pixels.reshape(28, 28)
