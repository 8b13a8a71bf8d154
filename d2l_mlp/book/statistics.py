"""Could a printed curve be one of our runs? By number, and as a whole.

A curve is an array ``(epochs, 3)`` of training loss, training accuracy and test
accuracy; ours are ``(runs, epochs, 3)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

COLUMNS = ("train_loss", "train_accuracy", "test_accuracy")
#: Digits that the book printed.
DIGITS = (4, 3, 3)
#: At or below this p-value a curve is called rejected.
LEVEL = 0.05
#: With fewer runs no p-value is as low as LEVEL: the lowest is 1 / (runs + 1).
FEWEST_RUNS = round(1 / LEVEL) - 1
#: Standard deviation of a rounding error, the least spread that is assumed.
ROUNDING = np.array([10.0**-digits for digits in DIGITS]) / np.sqrt(12)

Outcome = Literal["rejected", "not rejected", "undecided"]


@dataclass(frozen=True)
class CurveTest:
    """A whole curve compared with our runs.

    Attributes:
        num_runs: ours; the p-values cannot fall below ``1 / (num_runs + 1)``.
        rms_z: root mean square of the curve's z-values, its distance from our middle.
        max_z: the largest of their magnitudes.
        p_value: share of curves, the book's and ours, with an ``rms_z`` as large, each
            standardised by all the others.
        p_value_max: the same for ``max_z``.
        mean_z: z-value of the curve's mean over its epochs, for each of ``COLUMNS``:
            how far it lies to one side.
        p_value_mean: the same as ``p_value`` for the largest magnitude of ``mean_z``.
    """

    num_runs: int
    rms_z: float
    max_z: float
    p_value: float
    p_value_max: float
    p_value_mean: float
    mean_z: dict[str, float]

    @property
    def outcome(self) -> Outcome:
        """``"rejected"`` if the curve lies too far out to be one of our runs.

        ``"undecided"`` if there are too few runs to reject any curve.
        """
        if self.num_runs < FEWEST_RUNS:
            return "undecided"
        return "rejected" if self.p_value <= LEVEL else "not rejected"


@dataclass(frozen=True)
class Effect:
    """A difference of two means.

    Attributes:
        difference: the second mean less the first.
        low, high: its 95 % confidence interval, by Welch's t.
        p_value: of no difference, two-sided.
    """

    difference: float
    low: float
    high: float
    p_value: float


def as_printed(curves: np.ndarray) -> np.ndarray:
    """Return ``(..., 3)`` rounded to the digits that the book printed: 4, 3 and 3.

    Python's formatting rounds as the book did; ``np.round`` treats many halves
    differently.
    """
    columns = np.moveaxis(curves, -1, 0)
    printed = [
        np.vectorize(f"{{:.{digits}f}}".format, otypes=["U16"])(column).astype(float)
        for column, digits in zip(columns, DIGITS, strict=True)
    ]
    return np.stack(printed, axis=-1)


def cells(runs: np.ndarray, book: np.ndarray) -> pd.DataFrame:
    """Compare each printed number with ours, by epoch and column.

    Returns:
        A table with an index of epoch (from 1) and column, and ``book``, ``mean``,
        ``sd``, ``low`` and ``high``, the ends of the 95 % prediction interval for
        one further run (normal: mean ± t sd √(1 + 1/n)), ``z`` in standard
        deviations, and whether it is ``inside``.

    Raises:
        ValueError: shapes that do not fit, fewer than three runs, or NaN.
    """
    _check(runs, book)
    n = len(runs)
    mean, sd = runs.mean(axis=0), np.maximum(runs.std(axis=0, ddof=1), ROUNDING)
    half = stats.t.ppf(0.975, n - 1) * sd * np.sqrt(1 + 1 / n)
    index = pd.MultiIndex.from_product(
        [range(1, len(book) + 1), COLUMNS], names=["epoch", "column"]
    )
    low, high = mean - half, mean + half
    columns = {
        "book": book,
        "mean": mean,
        "sd": sd,
        "low": low,
        "high": high,
        "z": (book - mean) / sd,
        "inside": (low <= book) & (book <= high),
    }
    return pd.DataFrame({k: v.ravel() for k, v in columns.items()}, index=index)


def judge(runs: np.ndarray, book: np.ndarray) -> CurveTest:
    """Compare a whole printed curve with ours, as one draw.

    Its numbers depend on each other, so they are not judged one by one. The curve's
    distance from all others is ranked among our runs' distances from all others. If
    the curve is one more run like ours, every rank is equally likely, whatever the
    distribution: at most 5 % of such curves have a p-value of at most 0.05
    (Vovk, Gammerman & Shafer, *Algorithmic Learning in a Random World*, 2005).

    Raises:
        ValueError: see ``cells``.
    """
    _check(runs, book)
    curves = np.concatenate([runs, book[None]])
    z = _leave_one_out_z(curves)
    distances = np.sqrt((z**2).mean(axis=(1, 2)))
    largest = np.abs(z).max(axis=(1, 2))
    z_of_means = _leave_one_out_z(curves.mean(axis=1))
    return CurveTest(
        num_runs=len(runs),
        rms_z=float(distances[-1]),
        max_z=float(largest[-1]),
        p_value=_rank(distances),
        p_value_max=_rank(largest),
        p_value_mean=_rank(np.abs(z_of_means).max(axis=1)),
        mean_z=dict(zip(COLUMNS, z_of_means[-1].tolist(), strict=True)),
    )


def combine(tests: Sequence[CurveTest]) -> float:
    """Return the p-value of all ``tests`` together, by Fisher's method.

    It assumes that they are independent. Curves whose runs shared a split of their own
    are not; their p-value comes out too low.
    """
    return float(stats.combine_pvalues([test.p_value for test in tests]).pvalue)


def false_alarms(groups: Sequence[Sequence[np.ndarray]]) -> float | None:
    """Return how often Fisher's method rejects runs of our own that it has not seen.

    It shows what becomes of the method where all curves are judged by the same runs.
    None if four fifths of the runs are too few to reject anything.

    Twenty times the runs are parted at random into fifths, and each fifth is judged by
    the other four: one run for each edition of each model. (For a single edition there
    is nothing to find out: its p-value is a rank, so it is right by definition.)

    Args:
        groups: for each model, its runs as each of its editions averages them; arrays
            ``(runs, epochs, 3)``, the same runs in the same order.
    """
    fewest = min(len(group[0]) for group in groups)
    if fewest - -(-fewest // 5) < FEWEST_RUNS:
        return None
    random = np.random.RandomState(0)
    rejected = []
    for _ in range(20):
        parts = [
            np.array_split(random.permutation(len(group[0])), 5) for group in groups
        ]
        for fifth in zip(*parts, strict=True):
            rejected += [p <= LEVEL for p in _judge_part(groups, fifth)]
    return float(np.mean(rejected)) if rejected else None


def difference(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return how far the mean of ``second`` lies above that of ``first``."""
    found = float(np.mean(second) - np.mean(first))
    if np.ptp(first) == np.ptp(second) == 0:
        # Runs that learn nothing have no spread to measure it by.
        return Effect(found, found, found, float(found == 0))
    result = stats.ttest_ind(second, first, equal_var=False)
    low, high = result.confidence_interval(0.95)
    return Effect(found, float(low), float(high), float(result.pvalue))


def _judge_part(
    groups: Sequence[Sequence[np.ndarray]], parts: Sequence[np.ndarray]
) -> list[float]:
    """Judge the runs of ``parts``, one for each array at a time, by the others."""
    sizes = [len(part) // len(group) for part, group in zip(parts, groups, strict=True)]
    p_values = []
    for k in range(min(sizes)):
        tests = []
        for group, part in zip(groups, parts, strict=True):
            chosen = part[k * len(group) : (k + 1) * len(group)]
            for runs, i in zip(group, chosen, strict=True):
                tests.append(judge(np.delete(runs, part, axis=0), runs[i]))
        p_values.append(combine(tests))
    return p_values


def _leave_one_out_z(curves: np.ndarray) -> np.ndarray:
    """Standardise each curve by mean and standard deviation of all the others."""
    n = len(curves)
    # Around the common mean, so that the squares lose no digits.
    centred = curves - curves.mean(axis=0)
    mean = (centred.sum(axis=0) - centred) / (n - 1)
    squares = (centred**2).sum(axis=0) - centred**2
    variance = (squares - (n - 1) * mean**2) / (n - 2)
    sd = np.sqrt(np.maximum(variance, ROUNDING**2))
    return (centred - mean) / sd


def _rank(values: np.ndarray) -> float:
    """Return the share of ``values`` that are at least as large as the last one."""
    # Equal curves have distances that differ in the last bit.
    return float(np.mean(values >= values[-1] * (1 - 1e-12)))


def _check(runs: np.ndarray, book: np.ndarray) -> None:
    if runs.ndim != 3 or runs.shape[2] != len(COLUMNS) or runs.shape[1:] != book.shape:
        raise ValueError(
            f"runs: found shape {runs.shape} beside a curve {book.shape}, expected "
            "(runs, epochs, 3) beside (epochs, 3)"
        )
    if len(runs) < 3:
        raise ValueError(f"runs: found {len(runs)}, expected at least 3")
    if not (np.isfinite(runs).all() and np.isfinite(book).all()):
        raise ValueError("runs: found NaN or infinity, expected numbers")
