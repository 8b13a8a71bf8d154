"""Exercises 1 to 3 as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from .studies import Study
from .summary import Row, mean_sd


def table(study: Study, rows: Sequence[Row]) -> Table:
    """Return a line for each case: mean and standard deviation over its runs."""
    result = Table(title=study.question, title_justify="left")
    result.add_column(study.axis, justify="right")
    if study.series:
        result.add_column(study.series)
    for name in ("runs", "training loss", "test accuracy", "seconds per epoch"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("failed runs")
    for row in rows:
        result.add_row(
            row.case.label,
            *([row.case.series] if study.series else []),
            str(row.num_runs),
            mean_sd(row.losses, 4),
            mean_sd(row.accuracies, 4),
            f"{row.seconds:.2f}" if len(row.losses) else "–",
            f"[bold red]{row.outcome}[/]" if row.outcome else "",
        )
    return result
