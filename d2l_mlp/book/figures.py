"""The comparison as figures: what was printed, over the band of our runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .._values import instance, numeric
from ..runs.run import describe_layers
from .editions import models_of
from .findings import WHERE, Comparison

_BAND_TITLES = ("training loss − ours", "train accuracy − ours", "test accuracy − ours")
#: By shape as well as by colour, for up to five editions (Okabe and Ito's colours).
_STYLES = [
    {"color": color, "marker": marker, "markersize": 5, "linewidth": 1.2}
    for color, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), "osD^v", strict=True
    )
]


def draw(comparison: Comparison) -> dict[str, Figure]:
    """Return a picture for each model that has runs, by a name for its file."""
    figures = {}
    for model in models_of(comparison.editions.values()):
        longest = max(model, key=lambda edition: len(edition.epochs))
        kinds = {
            kind: comparison.runs[longest.id, split]
            for split, kind in WHERE.items()
            if (longest.id, split) in comparison.runs
        }
        if kinds:
            layers = describe_layers(longest.num_hiddens)
            name = f"net-{layers}-lr-{longest.lr:g}-batch-{longest.batch_size}"
            title = f"net {layers}, lr {longest.lr:g}: what the editions printed"
            books = {edition.id: np.array(edition.epochs) for edition in model}
            figures[name] = plot_bands(kinds, books, f"{title} and our runs")
    return figures


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
    with plt.rc_context({"font.size": 9.5}):
        figure, grid = plt.subplots(
            len(runs),
            3,
            figsize=(8.8, 1.0 + 2.5 * len(runs)),
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
