"""Exercises 1 to 3 as a figure that answers the question at a glance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .studies import Study
from .summary import Row

_MARKERS = "os^D"
_COLORS = ("tab:blue", "tab:orange")


def draw(study: Study, rows: Sequence[Row], title: str = "") -> Figure:
    """Return a figure of final test accuracy and loss, curves, and seconds per epoch.

    Points are means over the seeds, bars their standard deviations. If a run of a case
    diverged or learned nothing, a cross at the foot of the panel says so, and a hollow
    point shows the mean of the runs that ended.

    Args:
        study: the exercise.
        rows: its cases.
        title: a line below the question.
    """
    with plt.rc_context({"font.size": 9.5}):
        figure, grid = plt.subplots(2, 2, figsize=(8.8, 6.2), layout="constrained")
        accuracy, loss, curves, seconds = grid.flat
        for i, (series, members) in enumerate(_by_series(rows).items()):
            style = {"color": _COLORS[i], "marker": _MARKERS[i], "label": series}
            _draw_ends(accuracy, members, [row.accuracies for row in members], style)
            _draw_ends(loss, members, [row.losses for row in members], style)
            places = np.arange(len(members)) + 0.4 * i
            seconds.bar(places, [row.seconds for row in members], 0.4, color=_COLORS[i])
        _draw_curves(curves, rows)
        for axes in (accuracy, loss, seconds):
            labels = [row.case.label for row in next(iter(_by_series(rows).values()))]
            axes.set_xticks(range(len(labels)), labels)
            axes.set_xlabel(study.axis)
            axes.grid(alpha=0.3)
        accuracy.set_ylabel("test accuracy, last epoch")
        loss.set_ylabel("training loss, last epoch")
        seconds.set_ylabel("seconds per epoch")
        if study.series:
            accuracy.legend(title=study.series)
        figure.suptitle(f"{study.question}\n{title}".strip())
    return figure


def _by_series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    series: dict[str, list[Row]] = {}
    for row in rows:
        series.setdefault(row.case.series, []).append(row)
    return series


def _draw_ends(
    axes: Axes, rows: Sequence[Row], values: Sequence[np.ndarray], style: dict
) -> None:
    # NaN breaks the line where not all runs learned.
    sound = [np.nan if row.outcome else 1.0 for row in rows]
    axes.errorbar(
        range(len(rows)),
        [
            v.mean() * s if len(v) else np.nan
            for v, s in zip(values, sound, strict=True)
        ],
        [v.std(ddof=1) if len(v) > 1 else 0.0 for v in values],
        capsize=4,
        **style,
    )
    for i, row in enumerate(rows):
        if row.outcome and len(values[i]):
            hollow = {
                "color": style["color"],
                "marker": style["marker"],
                "mfc": "white",
            }
            axes.plot(i, values[i].mean(), **hollow)
    if any(row.outcome for row in rows):
        # Room for the words at the foot.
        low, high = axes.get_ylim()
        axes.set_ylim(bottom=max(0.0, low - 0.6 * (high - low)))
    foot = axes.get_xaxis_transform()
    for i, row in enumerate(rows):
        if row.outcome:
            color = style["color"]
            axes.plot(i, 0.04, "X", color=color, markersize=8, transform=foot)
            words = {"color": color, "ha": "center", "rotation": 90, "fontsize": 8}
            # Beside the place where a hollow point may be.
            axes.text(i - 0.25, 0.1, row.outcome, transform=foot, **words)


def _draw_curves(axes: Axes, rows: Sequence[Row]) -> None:
    series = list(_by_series(rows))
    counts = {name: len(members) for name, members in _by_series(rows).items()}
    seen = dict.fromkeys(series, 0)
    for row in rows:
        name = row.case.series
        shade = 0.95 * seen[name] / max(1, counts[name] - 1)
        seen[name] += 1
        if not len(row.curves):
            continue
        epochs = np.arange(1, row.curves.shape[1] + 1)
        label = f"{row.case.label} ({name})" if name else row.case.label
        dashes = "--" if series.index(name) else "-"
        axes.plot(
            epochs,
            row.curves.mean(axis=0),
            dashes,
            marker=".",
            color=plt.get_cmap("viridis")(shade),
            label=label,
        )
    axes.set(xlabel="epoch", ylabel="test accuracy, mean")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_xlim()[1] < 1.5:
        axes.set_xlim(0.5, 1.5)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
