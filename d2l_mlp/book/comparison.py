"""From records of runs to what they say of each edition: verdicts, effect, suspects."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..sweep import Json
from . import statistics
from .editions import Edition
from .runs import OFFICIAL, RESPLIT, SPLITS
from .statistics import COLUMNS, CurveTest, Effect
from .variants import AS_PUBLISHED, VARIANTS

#: In words, where runs of a split ran.
WHERE = {OFFICIAL: "the published split", RESPLIT: "random re-splits"}
_WORDS = dict(zip(COLUMNS, ("loss", "train accuracy", "test accuracy"), strict=True))


@dataclass(frozen=True)
class Verdict:
    """One edition against our runs on one kind of split.

    Attributes:
        edition: the edition's id.
        split: ``"official"`` or ``"resplit"``.
        test: the whole curve's test.
        false_alarms: share of our own runs, unseen, that the test rejects; None if
            they are too few.
        outside: how many of its numbers lie outside our 95 % prediction intervals.
        numbers: how many there are.
    """

    edition: str
    split: str
    test: CurveTest
    false_alarms: float | None
    outside: int
    numbers: int

    def __str__(self) -> str:
        test, where = self.test, WHERE[self.split]
        column = max(test.mean_z, key=lambda name: abs(test.mean_z[name]))
        z = test.mean_z[column]
        lean = (
            f"its {_WORDS[column]} lies {abs(z):.1f} standard deviations "
            f"{'above' if z > 0 else 'below'} ours on average, "
            f"{self.outside} of its {self.numbers} numbers outside our 95 % intervals"
        )
        if test.rejected:
            found = "not reproduced"
        elif 1 / (test.num_runs + 1) > statistics.LEVEL:
            found = f"undecided, {test.num_runs} runs are too few to reject anything"
        else:
            found = "reproduced"
        return (
            f"{self.edition} on {where}: {found} (p = {test.p_value:.3f} over "
            f"{test.num_runs} runs); {lean}."
        )


@dataclass(frozen=True)
class Together:
    """All editions at once on one kind of split, by Fisher's method."""

    split: str
    editions: tuple[str, ...]
    p_value: float
    false_alarms: float | None


@dataclass(frozen=True)
class SplitEffect:
    """How much higher test accuracy is on random re-splits than as published.

    Attributes:
        editions: the editions of the model.
        last: in the last epoch.
        all_epochs: of each run's mean over its epochs.
        deviations: ``all_epochs`` in standard deviations of the re-splits' runs.
        as_hard: share of re-splits with a mean no higher than the published split's.
    """

    editions: tuple[str, ...]
    last: Effect
    all_epochs: Effect
    deviations: float
    as_hard: float


@dataclass(frozen=True)
class Suspect:
    """The first edition against runs with one thing changed, on the published split."""

    title: str
    test: CurveTest


@dataclass
class Comparison:
    """What the runs say.

    Attributes:
        editions: those compared, by id.
        release: of the data set that ours ran on.
        runs: ``(runs, epochs, 3)`` as printed, by edition and split.
        verdicts: for each of ``runs``.
        together: for each split, if there are several editions.
        effects: for each model that ran on both splits.
        suspects: what else was tried on the first edition, itself first.
    """

    editions: dict[str, Edition]
    release: str
    runs: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    effects: list[SplitEffect] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)

    def cells(self, edition: str, split: str) -> pd.DataFrame:
        """Return the table of ``statistics.cells`` for one edition and split."""
        book = np.array(self.editions[edition].epochs)
        return statistics.cells(self.runs[edition, split], book)

    def verdict(self, edition: str, split: str) -> Verdict | None:
        """Return the verdict on one edition and split, None if it was not run."""
        return next(
            (v for v in self.verdicts if (v.edition, v.split) == (edition, split)), None
        )

    def summary(self) -> str:
        """Say on which splits which editions are reproduced."""
        sentences = []
        for split in SPLITS:
            here = [v for v in self.verdicts if v.split == split]
            if not here:
                continue
            rejected = [v.edition for v in here if v.test.rejected]
            sentence = f"On {WHERE[split]} of {self.release} "
            if rejected:
                sentence += f"{', '.join(rejected)} cannot be reproduced"
            else:
                sentence += "no curve is out of the range of our runs"
            if len(here) > 1:
                sentence += f" ({len(rejected)} of {len(here)} editions rejected"
                together = [each for each in self.together if each.split == split]
                sentence += f", all together p = {together[0].p_value:.2g})"
            sentences.append(sentence + ".")
        return " ".join(sentences)

    @property
    def rejected(self) -> bool:
        """Whether any edition was rejected on any split."""
        return any(verdict.test.rejected for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the runs, for machines."""
        cells = {
            f"{edition} {split}": self.cells(edition, split)
            .reset_index()
            .to_dict(orient="records")
            for edition, split in self.runs
        }
        names = ("verdicts", "together", "effects", "suspects")
        found = {name: [asdict(each) for each in getattr(self, name)] for name in names}
        for verdict, given in zip(found["verdicts"], self.verdicts, strict=True):
            verdict |= {"rejected": given.test.rejected, "sentence": str(given)}
        return {
            "release": self.release,
            "summary": self.summary(),
            **found,
            "cells": cells,
        }


def compare(
    records: Iterable[Json], editions: Sequence[Edition], release: str
) -> Comparison:
    """Judge ``editions`` by those ``records`` of ``runs.train`` that fit them.

    Raises:
        ValueError: fewer than three runs of an edition on a split that has any.
    """
    records = [record for record in records if record["job"]["release"] == release]
    ended = [record for record in records if not record["result"]["diverged"]]
    result = Comparison({edition.id: edition for edition in editions}, release)
    for split, edition in itertools.product(SPLITS, editions):
        runs = curves(ended, edition, split)
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
    result.suspects = _suspects(ended, editions[0])
    return result


def curves(
    records: Iterable[Json],
    edition: Edition,
    split: str,
    variant: str = AS_PUBLISHED,
    train_metric: str | None = None,
) -> np.ndarray:
    """Return our runs of ``edition`` as it would have printed them, by seed.

    Returns:
        ``(runs, epochs, 3)``; only whole runs of the edition's model count.
    """
    metric, length = train_metric or edition.train_metric, len(edition.epochs)
    columns = (f"loss_{metric}", f"accuracy_{metric}", "test_accuracy")
    found = {}
    for record in records:
        job, result = record["job"], record["result"]
        settings = job["settings"] | VARIANTS[variant].settings
        model = tuple(settings["num_hiddens"]), settings["batch_size"], settings["lr"]
        expected = edition.model[:2] + (
            VARIANTS[variant].settings.get("lr", edition.lr),
        )
        if (job["split"], job["variant"], model) != (split, variant, expected):
            continue
        if len(result["curves"]["test_accuracy"]) >= length:
            rows = [result["curves"][column][:length] for column in columns]
            found[settings["seed"]] = np.array(rows).T
    runs = [found[seed] for seed in sorted(found)]
    return statistics.as_printed(np.array(runs).reshape(-1, length, len(columns)))


def _judge(edition: Edition, split: str, runs: np.ndarray) -> Verdict:
    book = np.array(edition.epochs)
    inside = statistics.cells(runs, book)["inside"]
    return Verdict(
        edition.id,
        split,
        statistics.judge(runs, book),
        statistics.false_alarms([[runs]]),
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
        statistics.false_alarms(groups),
    )


def models_of(editions: Iterable[Edition]) -> list[list[Edition]]:
    """Group the editions that share their runs."""
    groups: dict[Any, list[Edition]] = {}
    for edition in editions:
        groups.setdefault(edition.model, []).append(edition)
    return list(groups.values())


def _split_effect(model: list[Edition], result: Comparison) -> SplitEffect:
    longest = max(model, key=lambda edition: len(edition.epochs)).id
    official, resplit = (result.runs[longest, s][..., 2] for s in (OFFICIAL, RESPLIT))
    means = resplit.mean(axis=1)
    effect = statistics.difference(official.mean(axis=1), means)
    return SplitEffect(
        tuple(edition.id for edition in model),
        statistics.difference(official[:, -1], resplit[:, -1]),
        effect,
        effect.difference / float(means.std(ddof=1)),
        float(np.mean(means <= official.mean())),
    )


def _suspects(records: list[Json], edition: Edition) -> list[Suspect]:
    """Judge the edition by each variant that has runs enough; none: no table."""
    book, found = np.array(edition.epochs), []
    for name, variant in VARIANTS.items():
        runs = curves(records, edition, OFFICIAL, name)
        if len(runs) >= 3:
            found.append(Suspect(variant.title, statistics.judge(runs, book)))
        if name == AS_PUBLISHED and len(runs) >= 3:
            other = {"batch": "sample", "sample": "batch"}[edition.train_metric]
            runs = curves(records, edition, OFFICIAL, name, other)
            test = statistics.judge(runs, book)
            found.append(Suspect(f"averaged by {other}", test))
    return found if len(found) > 2 else []
