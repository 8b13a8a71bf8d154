"""The results of an exercise: a row for each case, and the answer in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._values import plural
from ..runs.sweep import Json, key
from .studies import Case, Study, make_job, settings_of

#: The loss of a net that gives all ten classes the same probability.
GUESSING = math.log(10)
#: A net with at most this test accuracy is said to guess; guessing gives 0.1.
BARELY = 0.11


@dataclass(frozen=True)
class Row:
    """The runs of a case, one for each seed.

    Attributes:
        case: what was tried.
        num_runs: how many.
        num_diverged: how many of them diverged.
        num_guessing: how many ended no better than by guessing.
        losses: training loss in the last epoch, of the runs that ended, ``(runs,)``.
        accuracies: test accuracy after the last epoch, likewise, in 0..1.
        curves: their test accuracy, ``(runs, epochs)``.
        seconds: mean seconds per epoch, with its test pass; NaN if no run ended.
    """

    case: Case
    num_runs: int
    num_diverged: int
    num_guessing: int
    losses: np.ndarray
    accuracies: np.ndarray
    curves: np.ndarray
    seconds: float

    @property
    def outcome(self) -> str:
        """What happened to the runs that did not learn; empty if all learned."""
        parts = []
        if self.num_diverged:
            parts.append(f"{self.num_diverged} of {self.num_runs} diverged")
        if self.num_guessing:
            parts.append(f"{self.num_guessing} of {self.num_runs} learned nothing")
        return ", ".join(parts)


def summarise(
    study: Study, records: Sequence[Json], num_epochs: int, seeds: Sequence[int]
) -> list[Row]:
    """Return a row for each of the study's cases, from the records of its jobs."""
    results = {key(record["job"]): record["result"] for record in records}
    release = records[0]["job"]["release"]
    rows = []
    for case in study.cases:
        settings = [settings_of(case, num_epochs, seed) for seed in seeds]
        rows.append(_row(case, [results[key(make_job(s, release))] for s in settings]))
    return rows


def _row(case: Case, results: list[Json]) -> Row:
    ended = [result["curves"] for result in results if not result["diverged"]]
    losses = np.array([curves["loss_sample"][-1] for curves in ended])
    curves = np.array([curves["test_accuracy"] for curves in ended])
    seconds = [curves["seconds"] for curves in ended]
    accuracies = curves[:, -1] if ended else np.array([])
    return Row(
        case,
        len(results),
        len(results) - len(ended),
        # The loss of a net that guesses varies a little.
        int(np.count_nonzero((losses > 0.99 * GUESSING) | (accuracies <= BARELY))),
        losses,
        accuracies,
        curves,
        float(np.mean(seconds)) if ended else math.nan,
    )


def answer(study: Study, rows: Sequence[Row]) -> list[str]:
    """Return the answer: the best case, its gain, and the cases that do not learn."""
    sound = [row for row in rows if not row.outcome]
    lines = []
    if sound:
        best = max(sound, key=lambda row: row.accuracies.mean())
        lines.append(
            f"best mean test accuracy: {_name(study, best.case)}, "
            f"{mean_sd(best.accuracies, 4)} over {plural(best.num_runs, 'seed')}"
        )
        chapters = [row for row in sound if _is_the_chapters(row.case)]
        if chapters and chapters[0] is not best:
            gain = best.accuracies.mean() - chapters[0].accuracies.mean()
            error = math.hypot(*(_error(row) for row in (best, chapters[0])))
            lines.append(
                f"the chapter's, {_name(study, chapters[0].case)}: "
                f"{mean_sd(chapters[0].accuracies, 4)}; the best gains {gain:.4f} "
                f"(standard error {error:.4f})"
            )
    lines += [f"{_name(study, row.case)}: {row.outcome}" for row in rows if row.outcome]
    return lines


def mean_sd(values: np.ndarray, digits: int) -> str:
    """Return ``"0.882 ± 0.004"``, mean and standard deviation; no ± for one run."""
    if not len(values):
        return "–"
    text = f"{values.mean():.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {values.std(ddof=1):.{digits}f}"


def _error(row: Row) -> float:
    n = len(row.accuracies)
    return float(row.accuracies.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan


def _is_the_chapters(case: Case) -> bool:
    return settings_of(case, 10, 0) == settings_of(Case("", {}), 10, 0)


def _name(study: Study, case: Case) -> str:
    name = study.name.format(case.label)
    return name + (f", {study.series} {case.series}" if study.series else "")
