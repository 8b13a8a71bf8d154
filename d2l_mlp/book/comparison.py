"""What the records of runs say of each edition."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from ..runs.sweep import Json
from . import statistics
from .curves import curves, is_of
from .editions import Edition, models_of
from .findings import Ablation, Comparison, SplitEffect, Together, Verdict
from .runs import OFFICIAL, RESPLIT, SPLITS
from .variants import AS_PUBLISHED, VARIANTS


def compare(
    records: Iterable[Json], editions: Sequence[Edition], release: str
) -> Comparison:
    """Judge ``editions`` by the ``records`` of their runs, made by ``runs.train``.

    Raises:
        ValueError: fewer than three runs of an edition on a split that has any.
    """
    records = [record for record in records if record["job"]["release"] == release]
    ended = [record for record in records if not record["result"]["diverged"]]
    diverged = [record for record in records if record["result"]["diverged"]]
    result = Comparison({edition.id: edition for edition in editions}, release)
    for split, edition in itertools.product(SPLITS, editions):
        runs = curves(ended, edition, split)
        if lost := sum(is_of(r["job"], edition, split, AS_PUBLISHED) for r in diverged):
            result.diverged[edition.id, split] = lost
        if 0 < len(runs) < 3:
            raise ValueError(
                f"{edition.id}, {split}: found {len(runs)} runs that came to an end, "
                f"expected at least 3 ({lost} diverged): take more --seeds"
            )
        if len(runs):
            result.runs[edition.id, split] = runs
            result.verdicts.append(_judge(edition, split, runs))
    for split in SPLITS:
        here = [edition for edition in editions if (edition.id, split) in result.runs]
        if len(here) > 1:
            result.together.append(_judge_together(here, split, result))
    for model in models_of(editions):
        if all((model[0].id, split) in result.runs for split in SPLITS):
            result.effects.append(_split_effect(model, result))
    result.ablations = _ablations(ended, editions[0])
    return result


def _judge(edition: Edition, split: str, runs: np.ndarray) -> Verdict:
    book = np.array(edition.epochs)
    inside = statistics.cells(runs, book)["inside"]
    return Verdict(
        edition.id,
        split,
        statistics.judge(runs, book),
        int((~inside).sum()),
        len(inside),
    )


def _judge_together(
    editions: Sequence[Edition], split: str, result: Comparison
) -> Together:
    tests = [v.test for v in result.verdicts if v.split == split]
    groups = [
        [result.runs[edition.id, split] for edition in model]
        for model in models_of(editions)
    ]
    return Together(
        split,
        tuple(edition.id for edition in editions),
        statistics.combine(tests),
        statistics.false_alarms(groups) if split == OFFICIAL else None,
    )


def _split_effect(model: list[Edition], result: Comparison) -> SplitEffect:
    longest = max(model, key=lambda edition: len(edition.epochs)).id
    official, resplit = (result.runs[longest, s][..., 2] for s in (OFFICIAL, RESPLIT))
    means = resplit.mean(axis=1)
    effect = statistics.difference(official.mean(axis=1), means)
    return SplitEffect(
        tuple(edition.id for edition in model),
        statistics.difference(official[:, -1], resplit[:, -1]),
        effect,
        effect.difference / max(float(means.std(ddof=1)), statistics.ROUNDING[2]),
        float((1 + np.sum(means <= official.mean())) / (len(means) + 1)),
    )


def _ablations(records: list[Json], edition: Edition) -> list[Ablation]:
    """Judge the edition by each variant with enough runs; empty without a variant."""
    book, found = np.array(edition.epochs), []
    for name, variant in VARIANTS.items():
        runs = curves(records, edition, OFFICIAL, name)
        if len(runs) >= 3:
            found.append(Ablation(variant.title, statistics.judge(runs, book)))
        if name == AS_PUBLISHED and len(runs) >= 3:
            other = {"batch": "sample", "sample": "batch"}[edition.train_metric]
            runs = curves(records, edition, OFFICIAL, name, other)
            test = statistics.judge(runs, book)
            found.append(Ablation(f"averaged by {other}", test))
    return found if len(found) > 2 else []
