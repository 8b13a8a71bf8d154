"""Results of run.py as a Markdown table and figures."""

from __future__ import annotations

import statistics
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

#: Floating-point operations of an epoch of 784-256-10: forward and backward products.
GFLOP = 2 * 60_000 * (2 * 784 * 256 + 3 * 256 * 10) / 1e9
MARKS = ("<!-- results of make bench -->", "<!-- end of results -->")
OURS = ("hybridized", "plain", "plain, with test pass")
COLORS = {"hybridized": "tab:blue", "torch": "tab:orange", "jax scan": "tab:green"}
MARKERS = {"hybridized": "o", "torch": "s", "jax scan": "^"}


def write_report(results: dict, folder: Path) -> None:
    """Draw the figures, and put the tables into the page beside ``folder``, if any.

    They go between the two lines of that page that ``MARKS`` names.
    """
    parts = []
    if "speed" in results:
        parts.append(_speed_table(results["speed"]))
        _speed_figure(results["speed"]).savefig(folder / "speed.png", dpi=120)
    if "beside" in results:
        parts.append(_beside_table(results["beside"]))
    if "start-up" in results:
        parts.append(_start_up_table(results["start-up"]))
    if "scaling" in results:
        _scaling_figure(results["scaling"]).savefig(folder / "scaling.png", dpi=120)
    about = results["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    parts.append(
        f"{about['date']}, {about['processor']}, Python {about['python']}, "
        f"mxnet {about['mxnet']}; peers: {versions}."
    )
    tables = "\n\n".join(parts)
    print(tables)
    page = folder.with_suffix(".md")
    if page.exists():
        before, rest = page.read_text().split(MARKS[0])
        _, after = rest.split(MARKS[1])
        text = f"{before}{MARKS[0]}\n\n{tables}\n\n{MARKS[1]}{after}"
        page.write_text(text)


def _speed_table(speed: dict) -> str:
    ours = statistics.median(speed["hybridized"]["seconds"])
    library, peak = max(speed["peak"].items(), key=lambda item: item[1])
    lines = [
        "| peer | min s | median s | of hybridized | of the peak | loss | train acc "
        "| test acc |",
        "|---|---|---|---|---|---|---|---|",
    ]
    peers = {name: row for name, row in speed.items() if name != "peak"}
    for name, row in sorted(
        peers.items(), key=lambda p: statistics.median(p[1]["seconds"])
    ):
        median = statistics.median(row["seconds"])
        share = GFLOP / median / peak
        lines.append(
            f"| {name} | {min(row['seconds']):.3f} | {median:.3f} "
            f"| {median / ours:.2f} | {share:.0%} | {row['loss']:.4f} "
            f"| {row['accuracy']:.3f} | {row['test_accuracy']:.3f} |"
        )
    rounds = len(speed["hybridized"]["seconds"])
    lines.append(
        f"\nSeconds per epoch over {rounds} rounds. Peak: {peak:.0f} GFLOP/s, the "
        f"fastest product of four libraries ({library}), at which an epoch's "
        f"{GFLOP:.0f} GFLOP would take {GFLOP / peak:.3f} s. `gluonbook` and `plain, "
        "with test pass` include 10,000 test images."
    )
    return "\n".join(lines)


def _beside_table(beside: dict) -> str:
    lines = [
        "| seconds per epoch | quiet | beside one busy process | beside two |",
        "|---|---|---|---|",
    ]
    for name, row in beside.items():
        cells = (
            f"{statistics.median(s):.2f} ({min(s):.2f} to {max(s):.2f})"
            for s in row.values()
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    rounds = len(beside["hybridized"]["0"])
    lines.append(
        f"\nMedian (minimum to maximum) of {rounds} rounds in turns. A busy process "
        "only computes; the system chooses on which processor."
    )
    return "\n".join(lines)


def _start_up_table(start_up: dict) -> str:
    lines = [
        "| command | first epoch line after, s | peak memory, MB |",
        "|---|---|---|",
    ]
    for name, row in start_up.items():
        median = statistics.median(row["seconds"])
        lines.append(f"| `{name}` | {median:.2f} | {row['megabytes']:.0f} |")
    return "\n".join(lines)


def _speed_figure(speed: dict) -> plt.Figure:
    peers = {name: row["seconds"] for name, row in speed.items() if name != "peak"}
    names = sorted(peers, key=lambda name: -statistics.median(peers[name]))
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for i, name in enumerate(names):
        color = "tab:blue" if name in OURS else "lightgray"
        median = statistics.median(peers[name])
        axes.barh(i, median, color=color, edgecolor="gray")
        axes.plot(peers[name], [i] * len(peers[name]), "|", color="black", ms=8)
        axes.text(max(peers[name]) + 0.05, i, f"{median:.2f}", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="seconds per epoch (bar: median, strokes: each round)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _scaling_figure(scaling: list[dict]) -> plt.Figure:
    sizes = {
        "hidden units": lambda work: work["num_hiddens"][0],
        "batch size": lambda work: work["batch_size"],
        "hidden layers": lambda work: len(work["num_hiddens"]),
        "images": lambda work: work["num_images"],
    }
    figure, grid = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
    for axes, (scale, size) in zip(grid.flat, sizes.items(), strict=True):
        for name, color in COLORS.items():
            rows = [r for r in scaling if (r["scale"], r["peer"]) == (scale, name)]
            x = [size(row["work"]) for row in rows]
            y = [statistics.median(row["seconds"]) for row in rows]
            axes.plot(x, y, marker=MARKERS[name], color=color, label=name)
        if scale != "hidden layers":
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(x, [f"{value:g}" for value in x])
            axes.minorticks_off()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set(xlabel=scale, ylabel="seconds per epoch")
        axes.grid(alpha=0.3)
    grid[0, 0].legend()
    return figure
