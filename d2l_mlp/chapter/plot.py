"""Figures of images and of a run's curves.

They need neither a display nor a notebook: save them with ``figure.savefig`` or
``pyplot.savefig``. GluonCV's ``plot_image`` does not serve here, since it takes colour
images only. No figure is wider than a page (8.8 inches).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mxnet import nd

from .._values import brief, each, is_number, numeric, sequence
from .results import EpochResult

Images: TypeAlias = nd.NDArray | np.ndarray


def use_svg_display() -> None:
    """Draw figures as SVG in a notebook; elsewhere there is nothing to do.

    A PNG is kept beside it, since JupyterLab shows no SVG of a notebook that it does
    not trust.
    """
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        # Without salt and date, the same figure is the same bytes in a kept notebook.
        plt.rcParams["svg.hashsalt"] = "d2l_mlp"
        set_matplotlib_formats("svg", "png", metadata={"Date": None})


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set the size of the figures to come, ``(width, height)`` in inches, as SVG.

    Raises:
        ValueError: not two finite numbers above 0.
    """
    sides = sequence("figsize", figsize, "(width, height)")
    if len(sides) != 2 or not all(is_number(side) and side > 0 for side in sides):
        raise ValueError(
            f"figsize: found {brief(figsize)}, expected (width, height), two finite "
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
    _draw_images(images, labels, cmap="viridis")


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
    figure = _draw_images(images, titles, cmap="gray")
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


def plot_curves(
    results: Sequence[EpochResult],
    book: Sequence[tuple[float, float, float]] = (),
    title: str = "",
) -> Figure:
    """Return a figure of loss and accuracies by epoch, a run's and the book's.

    Args:
        results: a run's epochs.
        book: the book's printed ``(train_loss, train_accuracy, test_accuracy)`` of
            each epoch, drawn dashed.
        title: a line above the figure.

    Raises:
        ValueError: no epochs, or a row of other than three finite numbers.
    """
    results = each("results", results, EpochResult, "epochs of a run")
    if not results:
        raise ValueError("results: found none, expected at least one epoch")
    book = sequence("book", book, "a row for each epoch")
    if book:
        book = numeric("book", book, lambda s: s[1:] == (3,), "(epochs, 3)").tolist()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.6), layout="constrained")
    _draw_curve(left, "training loss", "tab:purple", "o", results, book, 0)
    _draw_curve(right, "train", "tab:orange", "o", results, book, 1)
    _draw_curve(right, "test", "tab:blue", "s", results, book, 2)
    for axes, name in ((left, "loss"), (right, "accuracy")):
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title, fontsize="medium")
    return figure


def _draw_images(
    images: Images | Sequence[Images], labels: Sequence[str], cmap: str
) -> Figure:
    images = sequence("images", images, "a list of images")
    # Their elements may be anything: matplotlib writes it out, as for gluonbook.
    labels = sequence("labels", labels, "a list of texts")
    pictures = [_as_picture(image) for image, _ in zip(images, labels, strict=False)]
    if not pictures:
        raise ValueError("images: found none with a label, expected at least one")
    # As high as the images are wide, and two lines of text.
    figsize = (8.8, 0.8 + 8.8 / len(pictures))
    figure, grid = plt.subplots(
        1, len(pictures), figsize=figsize, squeeze=False, layout="constrained"
    )
    for axes, picture, label in zip(grid.flat, pictures, labels, strict=False):
        # "none" keeps the 28×28 pixels as they are in an SVG, small and sharp.
        axes.imshow(picture, cmap=cmap, interpolation="none")
        axes.set_title(label, fontsize=10)
        axes.xaxis.set_visible(False)
        axes.yaxis.set_visible(False)
    return figure


def _draw_curve(
    axes: Axes,
    label: str,
    color: str,
    marker: str,
    results: Sequence[EpochResult],
    book: Sequence[tuple[float, float, float]],
    column: int,
) -> None:
    style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4}
    name = ("train_loss", "train_accuracy", "test_accuracy")[column]
    values = [getattr(result, name) for result in results]
    axes.plot([result.epoch for result in results], values, label=label, **style)
    if book:
        style |= {"linestyle": "--", "markerfacecolor": "white", "alpha": 0.6}
        printed = [row[column] for row in book]
        axes.plot(range(1, len(book) + 1), printed, label=f"{label}, the book", **style)


def _as_picture(image: Images) -> np.ndarray:
    pixels = numeric("image", image, lambda s: np.prod(s) == 784, "784 pixels")
    return pixels.reshape(28, 28)
