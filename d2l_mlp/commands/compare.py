"""python -m d2l_mlp compare: many seeds' runs against the numbers that were printed."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .. import _compat
from .common import (
    Jobs,
    Root,
    check_output,
    console,
    flag,
    option,
    png_of,
    run_jobs,
    save,
    table_console,
    whole,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..book.editions import Edition
    from ..book.findings import Comparison
    from ..runs.sweep import Json

#: Exit code of --fail-if-rejected; 1 and 2 are errors'.
REJECTED = 3
#: Which parting of the images to run on.
Split = Literal["official", "resplit", "all"]


def compare(
    edition: Annotated[
        list[str] | None,
        typer.Option(help="An edition's id, also several times; or all.", metavar="ID"),
    ] = None,
    seeds: Annotated[
        int, whole("Runs, of seeds 0, 1, 2, …; at least 3.", least=3)
    ] = 30,
    split: Annotated[
        Split, option(Split, "Images parted as published, anew per seed, or both.")
    ] = "all",
    jobs: Jobs = None,
    ablations: Annotated[int, whole("Runs of each single change.", least=0)] = 0,
    plain: Annotated[bool, flag("--plain", "Train without a static graph.")] = False,
    release: Annotated[
        str | None, typer.Option(help="Of the data set, for instance 2017-08-26.")
    ] = None,
    root: Root = None,
    editions: Annotated[
        Path | None, typer.Option(help="A file of other printed numbers.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for results, report and pictures.")
    ] = Path("output/compare"),
    fail_if_rejected: Annotated[
        bool, flag("--fail-if-rejected", "Exit code 3 on a rejection.")
    ] = False,
) -> None:
    """Ask whether printed numbers are one more draw of ours, and if not, why.

    Each run is kept in OUTPUT/results.jsonl as it ends; the same command again runs
    only what is missing.
    """
    _compat.load_mxnet()
    from ..book.comparison import compare as judge
    from ..book.editions import load_editions
    from ..book.evidence import gather_evidence
    from ..book.figures import draw
    from ..book.runs import train
    from ..book.statistics import FEWEST_RUNS
    from ..book.twins import compare_twins
    from ..dataset.fashion_mnist import load_fashion_mnist
    from ..runs.run import headline

    known = load_editions(editions)
    chosen = _choose(edition, known)
    if ablations and ablations < FEWEST_RUNS:
        raise typer.BadParameter(
            f"found {ablations}, expected 0 or at least {FEWEST_RUNS}: fewer runs "
            "cannot reject anything",
            param_hint="--ablations",
        )
    check_output(output)
    data = load_fashion_mnist(root, release)
    planned = _plan(chosen, known, seeds, split, ablations, data.release, not plain)
    stands_on = headline(f"0 to {seeds - 1}", data.release)
    console.print(stands_on)
    if seeds < FEWEST_RUNS:
        console.print(f"{seeds} runs can reject nothing: p is at least 1/{seeds + 1}")
    records = run_jobs(train, planned, output / "results.jsonl", jobs, root)
    comparison = judge(records, chosen, data.release)
    evidence = gather_evidence(comparison)
    console.print("comparing the net with Gluon's and gluonbook's: an epoch of each")
    twins = compare_twins(data)
    figures = draw(comparison)
    _write(comparison, evidence, twins, figures, stands_on, output)
    _show(comparison, evidence, twins)
    if fail_if_rejected and comparison.rejected:
        raise typer.Exit(REJECTED)


def _choose(ids: list[str] | None, known: dict[str, Edition]) -> list[Edition]:
    ids = ids or [next(iter(known))]
    if "all" in ids:
        return list(known.values())
    for id in ids:
        if id not in known:
            raise typer.BadParameter(
                f"found {id!r}, expected {', '.join(known)} or all",
                param_hint="--edition",
            )
    return [known[id] for id in dict.fromkeys(ids)]


def _plan(
    chosen: list[Edition],
    known: dict[str, Edition],
    seeds: int,
    split: Split,
    ablations: int,
    release: str,
    hybridize: bool,
) -> list[Json]:
    """Return the jobs, those of a low seed first, so that all kinds grow together."""
    from ..book.runs import OFFICIAL, SPLITS, make_job
    from ..book.variants import AS_PUBLISHED, VARIANTS

    splits = SPLITS if split == "all" else (split,)
    others = [name for name in VARIANTS if name != AS_PUBLISHED]
    kinds = [
        (edition, each, AS_PUBLISHED, seeds) for edition in chosen for each in splits
    ]
    kinds += [(chosen[0], OFFICIAL, variant, ablations) for variant in others]
    pool = list(known.values())
    return [
        make_job(edition, pool, seed, each, release, variant, hybridize)
        for seed in range(max(seeds, ablations))
        for edition, each, variant, runs in kinds
        if seed < runs
    ]


def _show(comparison: Comparison, evidence: list, twins: list) -> None:
    from ..book import tables

    wide = table_console()
    for edition, split in comparison.runs:
        wide.print(tables.cells_table(comparison, edition, split))
    wide.print(tables.verdicts_table(comparison))
    first = next(iter(comparison.editions))
    if comparison.ablations:
        wide.print(tables.ablations_table(comparison.ablations, first))
    wide.print(tables.twins_table(twins))
    wide.print(tables.evidence_table(evidence))
    for verdict in comparison.verdicts:
        console.print(str(verdict))
    console.print(comparison.summary())


def _write(
    comparison: Comparison,
    evidence: list,
    twins: list,
    figures: dict[str, Figure],
    stands_on: str,
    output: Path,
) -> None:
    """Write pictures, report and JSON into ``output``."""
    from dataclasses import asdict

    from ..book.report import render

    command = shlex.join(["python", "-m", "d2l_mlp", *sys.argv[1:]])
    contents = comparison.to_json() | {
        "headline": stands_on,
        "command": command,
        "evidence": [asdict(step) for step in evidence],
        "twins": [asdict(twin) for twin in twins],
    }
    pictures = {name: png_of(figure) for name, figure in figures.items()}
    page = render(comparison, evidence, twins, pictures, stands_on, command)
    files = {
        "comparison.json": json.dumps(contents, indent=1, allow_nan=False).encode(),
        "report.html": page.encode(),
    }
    files |= {f"{name}.png": png for name, png in pictures.items()}
    for name, content in files.items():
        save(output / name, content)
