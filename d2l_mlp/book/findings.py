"""What runs say of each edition, in words and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from . import statistics
from .editions import Edition
from .runs import OFFICIAL, RESPLIT, SPLITS
from .statistics import COLUMNS, CurveTest, Effect

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
        outside: how many of its numbers lie outside our 95 % prediction intervals.
        numbers: how many there are.
    """

    edition: str
    split: str
    test: CurveTest
    outside: int
    numbers: int

    def __str__(self) -> str:
        test = self.test
        column = max(test.mean_z, key=lambda name: abs(test.mean_z[name]))
        z = test.mean_z[column]
        found = {
            "rejected": "not reproduced",
            "not rejected": "not to be told from our runs",
            "undecided": f"undecided, {test.num_runs} runs can reject nothing",
        }[test.outcome]
        return (
            f"{self.edition} on {WHERE[self.split]}: {found} (p = {test.p_value:.3f} "
            f"over {test.num_runs} runs); {self.outside} of its {self.numbers} numbers "
            f"lie outside our 95 % intervals, its mean {_WORDS[column]} {abs(z):.1f} "
            f"standard deviations {'above' if z > 0 else 'below'} ours "
            f"(p = {test.p_value_mean:.3f} by the means)."
        )


@dataclass(frozen=True)
class Together:
    """All editions at once on one kind of split, by Fisher's method.

    On re-splits it rejects too often: the editions share one split, our runs have one
    each. ``statistics.false_alarms`` cannot show that, so it is None there.
    """

    split: str
    editions: tuple[str, ...]
    p_value: float
    false_alarms: float | None

    @property
    def rejected(self) -> bool:
        """Whether they are too far out to be all ours."""
        return self.p_value <= statistics.LEVEL


@dataclass(frozen=True)
class SplitEffect:
    """How much higher test accuracy is on random re-splits than as published.

    Attributes:
        editions: the editions of the model.
        last: in the last epoch.
        all_epochs: of each run's mean over its epochs.
        deviations: ``all_epochs`` in standard deviations of the runs on re-splits.
        p_value: rank of the published split's mean among those of runs on re-splits,
            from below: how rare so hard a split is. At least ``1 / (runs + 1)``.
    """

    editions: tuple[str, ...]
    last: Effect
    all_epochs: Effect
    deviations: float
    p_value: float


@dataclass(frozen=True)
class Ablation:
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
        ablations: runs with one thing changed, compared with the first edition; the
            unchanged runs come first.
        diverged: how many runs diverged, and are left out, by edition and split.
    """

    editions: dict[str, Edition]
    release: str
    runs: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    effects: list[SplitEffect] = field(default_factory=list)
    ablations: list[Ablation] = field(default_factory=list)
    diverged: dict[tuple[str, str], int] = field(default_factory=dict)

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
        return " ".join(
            self._summarise(split)
            for split in SPLITS
            if any(verdict.split == split for verdict in self.verdicts)
        )

    def _summarise(self, split: str) -> str:
        here = [v for v in self.verdicts if v.split == split]
        rejected = [v.edition for v in here if v.test.outcome == "rejected"]
        text = f"On {WHERE[split]} of {self.release} "
        if rejected:
            text += f"{', '.join(rejected)} {'is' if len(rejected) == 1 else 'are'} "
            text += f"rejected at {statistics.LEVEL:.0%}"
        elif any(v.test.outcome == "undecided" for v in here):
            text += "nothing can be said: there are too few runs"
        else:
            text += "no edition is rejected"
        for each in self.together:
            if each.split == split:
                text += f"; all {len(here)} together p = {each.p_value:.2g}"
        left_out = sum(n for (_, where), n in self.diverged.items() if where == split)
        if left_out:
            text += f"; {left_out} diverged runs are left out"
        return text + "."

    @property
    def rejected(self) -> bool:
        """Whether on any split the editions, all together, are rejected."""
        together = {each.split for each in self.together}
        return any(each.rejected for each in self.together) or any(
            verdict.test.outcome == "rejected"
            for verdict in self.verdicts
            if verdict.split not in together
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything but the runs, for machines."""
        cells = {
            f"{edition} {split}": self.cells(edition, split)
            .reset_index()
            .to_dict(orient="records")
            for edition, split in self.runs
        }
        names = ("verdicts", "together", "effects", "ablations")
        found = {name: [asdict(each) for each in getattr(self, name)] for name in names}
        for verdict, given in zip(found["verdicts"], self.verdicts, strict=True):
            verdict |= {"outcome": given.test.outcome, "sentence": str(given)}
        return {
            "release": self.release,
            "summary": self.summary(),
            **found,
            "cells": cells,
        }
