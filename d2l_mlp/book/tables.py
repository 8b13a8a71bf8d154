"""The comparison as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from .evidence import Step
from .findings import Ablation, Comparison
from .statistics import COLUMNS, DIGITS, LEVEL, CurveTest
from .twins import Twin

MARKS = {True: "yes", False: "NO", None: "not run"}


def cells_table(comparison: Comparison, edition: str, split: str) -> Table:
    """Return the edition's numbers beside ours; those outside have a cross."""
    cells = comparison.cells(edition, split)
    runs = len(comparison.runs[edition, split])
    table = Table(
        title=f"{escape(edition)}, {split} split: the book, ours ({runs} runs: "
        "mean ± sd); ✗: outside our 95 % interval",
        title_justify="left",
    )
    table.add_column("epoch", justify="right")
    for name in ("loss", "train acc", "test acc"):
        table.add_column(name, justify="right", no_wrap=True)
    for epoch, rows in cells.groupby(level="epoch"):
        texts = []
        for column, digits in zip(COLUMNS, DIGITS, strict=True):
            cell = rows.loc[(epoch, column)]
            mark = " " if cell["inside"] else "✗"
            text = (
                f"{mark} {cell['book']:.{digits}f}  "
                f"{cell['mean']:.{digits}f} ± {cell['sd']:.{digits}f}"
            )
            texts.append(text if cell["inside"] else f"[bold red]{text}[/]")
        table.add_row(str(epoch), *texts)
    return table


def verdicts_table(comparison: Comparison) -> Table:
    """Return a line for each edition and split, and for all editions together."""
    table = Table(title="Each curve as one draw", title_justify="left")
    for name in ("edition", "split"):
        table.add_column(name, no_wrap=True)
    for name in ("runs", "outside", "p", "by max |z|", "by means"):
        table.add_column(name, justify="right")
    table.add_column("z of means: loss, train, test", justify="right", no_wrap=True)
    for verdict in comparison.verdicts:
        test = verdict.test
        table.add_row(
            escape(verdict.edition),
            verdict.split,
            str(test.num_runs),
            f"{verdict.outside}/{verdict.numbers}",
            *_test(test),
        )
    for each in comparison.together:
        table.add_row("all together", each.split, "", "", _p_value(each.p_value))
        if each.false_alarms is not None:
            table.caption = (
                f'On the {each.split} split "all together" rejects '
                f"{each.false_alarms:.1%} of our own runs that it has not seen."
            )
    return table


def ablations_table(ablations: Sequence[Ablation], edition: str) -> Table:
    """Return the p-value of ``edition`` for each change of the runs."""
    table = Table(
        title=f"The published {escape(edition)} against runs with one thing changed",
        title_justify="left",
    )
    table.add_column("what is changed")
    for name in ("runs", "p", "by max |z|", "by means"):
        table.add_column(name, justify="right")
    table.add_column("z of means: loss, train, test", justify="right", no_wrap=True)
    for ablation in ablations:
        test = ablation.test
        table.add_row(
            ablation.title,
            str(test.num_runs),
            *_test(test),
        )
    return table


def evidence_table(steps: Sequence[Step]) -> Table:
    """Return the chain of evidence, and whether each link holds."""
    table = Table(title="Why", title_justify="left", show_lines=True)
    for name in ("claim", "found", "holds"):
        table.add_column(name)
    for step in steps:
        table.add_row(escape(step.claim), escape(step.found), MARKS[step.holds])
    return table


def twins_table(twins: Sequence[Twin]) -> Table:
    """Return the largest differences from each twin."""
    table = Table(
        title="Twins: largest difference from the net by hand", title_justify="left"
    )
    table.add_column("twin")
    for name in ("batches", "loss", "gradient", "parameter"):
        table.add_column(name, justify="right")
    for twin in twins:
        values = (twin.loss, twin.gradient, twin.parameter)
        table.add_row(
            twin.name, str(twin.num_batches), *(f"{value:.2g}" for value in values)
        )
    return table


def p_text(value: float) -> str:
    """Return a p-value as text."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def _test(test: CurveTest) -> tuple[str, str, str, str]:
    """Return the three p-values and the z-values of the means."""
    return (
        _p_value(test.p_value),
        f"{test.p_value_max:.3f}",
        f"{test.p_value_mean:.3f}",
        "  ".join(f"{test.mean_z[column]:+.2f}" for column in COLUMNS),
    )


def _p_value(value: float) -> str:
    text = p_text(value)
    return f"[bold red]{text} ✗[/]" if value <= LEVEL else text
