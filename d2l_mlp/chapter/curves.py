"""Pictures of how runs went: their curves, beside printed ones or in a band of ours."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .._values import each, instance, numeric, sequence
from .results import EpochResult

_BAND_TITLES = ("training loss − ours", "train accuracy − ours", "test accuracy − ours")
#: By shape as well as by colour, for up to five editions (Okabe and Ito's colours).
_STYLES = [
    {"color": color, "marker": marker, "markersize": 8, "linewidth": 1.2}
    for color, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), "osD^v", strict=True
    )
]


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
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    columns = ("train_loss", "train_accuracy", "test_accuracy")
    panels = (
        (left, "training loss", "tab:purple", "o"),
        (right, "train", "tab:orange", "o"),
        (right, "test", "tab:blue", "s"),
    )
    for i, (axes, label, color, marker) in enumerate(panels):
        epochs = [result.epoch for result in results]
        values = [getattr(result, columns[i]) for result in results]
        style = {"color": color, "marker": marker, "markersize": 4}
        axes.plot(epochs, values, label=label, **style)
        if book:
            printed = [row[i] for row in book]
            style |= {"linestyle": "--", "markerfacecolor": "white", "alpha": 0.6}
            label = f"{label}, the book"
            axes.plot(range(1, len(book) + 1), printed, label=label, **style)
    for axes, name in ((left, "loss"), (right, "accuracy")):
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title, fontsize="medium")
    return figure


def plot_bands(
    runs: dict[str, np.ndarray], books: dict[str, np.ndarray], title: str = ""
) -> Figure:
    """Return a figure of printed curves over the band of our runs, from its middle.

    A row for each kind of runs, and columns for loss, train and test accuracy, with one
    scale for a column: what is printed less the median of ours, over the range that
    holds 95 % of ours.

    Args:
        runs: ``(runs, epochs, 3)`` by the name of their kind.
        books: printed curves ``(epochs, 3)`` by name, none longer than ``runs``.
        title: a line above the figure.

    Raises:
        ValueError: no runs, or curves of another shape, or with NaN.
    """
    runs, books = _check_bands(runs, books)
    # Large enough to be read off a projector.
    with plt.rc_context({"font.size": 13}):
        figure, grid = plt.subplots(
            len(runs),
            3,
            figsize=(14, 1.2 + 3.4 * len(runs)),
            sharex=True,
            sharey="col",
            squeeze=False,
            layout="constrained",
        )
        for row, (kind, ours) in zip(grid, runs.items(), strict=True):
            _draw_bands(row, ours, books)
            row[1].set_title(f"{kind}, {len(ours)} runs", fontweight="bold")
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        for row in grid:
            for axes, name in zip(row, _BAND_TITLES, strict=True):
                axes.set_ylabel(name)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.suptitle(title)
    return figure


def _check_bands(
    runs: Mapping[str, np.ndarray], books: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    instance("runs", runs, dict)
    if not runs:
        raise ValueError("runs: found none, expected at least one kind")
    runs = {
        kind: numeric(
            f"runs[{kind!r}]",
            ours,
            lambda s: len(s) == 3 and s[2] == 3 and 0 not in s,
            "(runs, epochs, 3)",
        )
        for kind, ours in runs.items()
    }
    most = min(ours.shape[1] for ours in runs.values())
    books = {
        name: numeric(
            f"books[{name!r}]",
            curve,
            lambda s: len(s) == 2 and s[1] == 3 and s[0] <= most,
            f"(epochs, 3) of at most {most} epochs",
        )
        for name, curve in instance("books", books, dict).items()
    }
    return runs, books


def _draw_bands(
    row: Sequence[Axes], ours: np.ndarray, books: Mapping[str, np.ndarray]
) -> None:
    median = np.median(ours, axis=0)
    low, high = np.quantile(ours, [0.025, 0.975], axis=0) - median
    epochs = np.arange(1, len(median) + 1)
    for i, axes in enumerate(row):
        band = axes.fill_between(epochs, low[:, i], high[:, i], label="95 % of ours")
        band.set(color="tab:gray", alpha=0.35, linewidth=0)
        axes.axhline(0, color="dimgray", linewidth=1.5, label="our median")
        for style, (name, curve) in zip(
            itertools.cycle(_STYLES), books.items(), strict=False
        ):
            n = len(curve)
            (line,) = axes.plot(epochs[:n], curve[:, i] - median[:n, i], label=name)
            line.set(**style)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
