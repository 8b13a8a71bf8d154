"""The comparison as one page of HTML that needs no network, pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from .evidence import Step
from .findings import Comparison
from .statistics import COLUMNS, DIGITS, LEVEL
from .tables import MARKS, p_text
from .twins import Twin


def render(
    comparison: Comparison,
    evidence: Sequence[Step],
    twins: Sequence[Twin],
    pictures: Mapping[str, bytes],
    headline: str,
    command: str,
) -> str:
    """Return the page.

    Args:
        comparison: what the runs say.
        evidence: of ``evidence.gather_evidence``.
        twins: of ``twins.compare_twins``.
        pictures: PNG by what it shows.
        headline: seeds, versions and release of the runs.
        command: the command that makes the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        comparison=comparison,
        first=next(iter(comparison.editions)),
        sentences=[str(verdict) for verdict in comparison.verdicts],
        evidence=evidence,
        twins=twins,
        pictures={n: base64.b64encode(png).decode() for n, png in pictures.items()},
        headline=headline,
        command=command,
        columns=COLUMNS,
        marks=MARKS,
        p_value=p_text,
        level=LEVEL,
        cells={key: _rows(comparison, *key) for key in comparison.runs},
    )


def _rows(comparison: Comparison, edition: str, split: str) -> list[list[Any]]:
    """Return the texts of each epoch's three numbers."""
    cells = comparison.cells(edition, split)
    return [
        [
            {
                "book": f"{cell['book']:.{digits}f}",
                "ours": f"{cell['mean']:.{digits}f} ± {cell['sd']:.{digits}f}",
                "interval": f"{cell['low']:.{digits}f} to {cell['high']:.{digits}f}",
                "inside": bool(cell["inside"]),
            }
            for digits, (_, cell) in zip(DIGITS, rows.iterrows(), strict=True)
        ]
        for _, rows in cells.groupby(level="epoch")
    ]
