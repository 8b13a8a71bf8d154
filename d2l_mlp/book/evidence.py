"""Why the book's numbers are or are not ours, step by step, each step found by code.

The book ran on MXNet's mirror, which held another release of the data set than anyone
serves today. Does the difference depend on how the images are split?
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from mxnet.gluon.data.vision import datasets

from ..dataset import releases
from .findings import WHERE, Comparison, Verdict
from .runs import OFFICIAL, RESPLIT
from .statistics import LEVEL, Outcome

#: The release that the book ran on.
BOOKS_RELEASE = "2017-08-26"


@dataclass(frozen=True)
class Step:
    """A link of the chain.

    Attributes:
        claim: what has to be true.
        found: what was found.
        holds: whether the claim is true; None where it was not tried.
    """

    claim: str
    found: str
    holds: bool | None


def gather_evidence(comparison: Comparison) -> list[Step]:
    """Return every step, also those for which ``comparison`` has no runs."""
    first = next(iter(comparison.editions))
    if comparison.release == BOOKS_RELEASE:
        return [_sums_in_mxnet(), _on_the_books_release(comparison, first)]
    return [
        _sums_in_mxnet(),
        Step(
            f"our runs are on another release than the book's {BOOKS_RELEASE}",
            f"{comparison.release}, by the SHA-256 of its files",
            True,
        ),
        _rejected(comparison, first, OFFICIAL, expected="rejected"),
        _rejected(comparison, first, RESPLIT, expected="not rejected"),
        _lean(comparison),
        *_together(comparison),
        *_effects(comparison),
        _on_the_books_release(comparison, first),
    ]


def sums_in_mxnet() -> dict[str, bool]:
    """Return for each release whether its SHA-1 sums are in MXNet's source."""
    source = inspect.getsource(datasets.FashionMNIST)
    return {
        release: all(
            checksum.partition(":")[2] in source
            for checksum in releases.gz_sums(release).values()
        )
        for release in releases.URLS
    }


def _sums_in_mxnet() -> Step:
    found = [release for release, there in sums_in_mxnet().items() if there]
    return Step(
        f"MXNet's own source asks for the release of {BOOKS_RELEASE}",
        f"its four SHA-1 sums are those of {' and '.join(found) or 'no release'}",
        found == [BOOKS_RELEASE],
    )


def _rejected(
    comparison: Comparison, edition: str, split: str, expected: Outcome
) -> Step:
    claim = f"on {WHERE[split]} the {edition} is {expected}"
    verdict = comparison.verdict(edition, split)
    if verdict is None:
        return Step(claim, f"not run: compare --split {split}", None)
    return Step(claim, _p_over_runs(verdict), _holds(verdict, expected))


def _p_over_runs(verdict: Verdict) -> str:
    return f"p = {verdict.test.p_value:.3f} over {verdict.test.num_runs} runs"


def _holds(verdict: Verdict, expected: Outcome) -> bool | None:
    found = verdict.test.outcome
    return None if found == "undecided" else found == expected


def _lean(comparison: Comparison) -> Step:
    claim = "every edition's mean test accuracy lies above ours on the published split"
    leans = {
        verdict.edition: verdict.test.mean_z["test_accuracy"]
        for verdict in comparison.verdicts
        if verdict.split == OFFICIAL
    }
    if len(leans) < 2:
        return Step(claim, "not run: compare --edition all --split official", None)
    found = ", ".join(f"{name} {z:+.1f}" for name, z in leans.items())
    return Step(
        claim, f"standard deviations: {found}", all(z > 0 for z in leans.values())
    )


def _together(comparison: Comparison) -> list[Step]:
    steps = []
    for each in comparison.together:
        expected = each.split == OFFICIAL
        steps.append(
            Step(
                f"on {WHERE[each.split]} all editions together are "
                f"{'' if expected else 'not '}rejected",
                f"p = {each.p_value:.2g} by Fisher's method",
                each.rejected is expected,
            )
        )
    return steps


def _effects(comparison: Comparison) -> list[Step]:
    steps = []
    for effect in comparison.effects:
        last = effect.last
        steps.append(
            Step(
                "the published test set is harder than a random one for the model of "
                + effect.editions[0],
                f"test accuracy is {last.difference:+.4f} on re-splits in the last "
                f"epoch (95 % {last.low:+.4f} to {last.high:+.4f}), "
                f"{effect.deviations:.1f} standard deviations of re-splits over all; "
                f"as hard a split is rare: p = {effect.p_value:.3f}",
                effect.p_value <= LEVEL,
            )
        )
    return steps


def _on_the_books_release(comparison: Comparison, edition: str) -> Step:
    claim = f"on the release of {BOOKS_RELEASE} itself the {edition} is not rejected"
    verdict = comparison.verdict(edition, OFFICIAL)
    if comparison.release != BOOKS_RELEASE or verdict is None:
        return Step(claim, f"not run: compare --release {BOOKS_RELEASE}", None)
    return Step(claim, _p_over_runs(verdict), _holds(verdict, "not rejected"))
