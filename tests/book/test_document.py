"""docs/the-books-numbers.md says what the stored runs say."""

from pathlib import Path

from d2l_mlp.book import load_editions
from d2l_mlp.book.comparison import compare
from d2l_mlp.book.evidence import gather_evidence
from d2l_mlp.runs.sweep import read

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def comparison():
    records = read(DOCS / "comparison" / "results.jsonl")
    return compare(records, list(load_editions().values()), "2017-08-31")


@pytest.fixture(scope="module")
def page():
    return (DOCS / "the-books-numbers.md").read_text()


def row(*values):
    return "| " + " | ".join(values) + " |"


def p_value(value):
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def z_values(test):
    return [f"{z:+.2f}" for z in test.mean_z.values()]


def test_every_verdict_stands_on_the_page(comparison, page):
    assert len(comparison.verdicts) == 10
    for v in comparison.verdicts:
        assert v.test.num_runs >= 100
        line = row(
            v.edition, v.split, str(v.test.num_runs), f"{v.outside} of {v.numbers}",
            p_value(v.test.p_value), p_value(v.test.p_value_max),
            p_value(v.test.p_value_mean), *z_values(v.test),
        )  # fmt: skip
        assert line in page
    for each in comparison.together:
        line = f"| all together | {each.split} |  |  | {p_value(each.p_value)} |"
        assert line in page
    official, resplit = comparison.together
    assert f"rejects {official.false_alarms:.1%} of" in page.replace("\n", " ")
    assert resplit.false_alarms is None


def test_every_ablation_and_step_and_effect_stands_on_the_page(comparison, page):
    assert len(comparison.ablations) == 12
    for ablation in comparison.ablations:
        test = ablation.test
        assert test.num_runs >= 40
        line = row(
            ablation.title, str(test.num_runs), p_value(test.p_value),
            p_value(test.p_value_max), p_value(test.p_value_mean), *z_values(test),
        )  # fmt: skip
        assert line in page
    names = {True: "yes", False: "no", None: "not run"}
    for step in gather_evidence(comparison):
        assert row(step.claim, step.found, names[step.holds]) in page
    for effect in comparison.effects:
        last = effect.last
        assert f"{last.difference:+.4f} ({last.low:+.4f} to {last.high:+.4f})" in page


def test_what_the_page_says_in_words_holds(comparison):
    """The sentences of the page that are more than its tables."""
    z = {
        (v.edition, v.split): v.test.mean_z["test_accuracy"]
        for v in comparison.verdicts
    }
    official = [value for (_, split), value in z.items() if split == "official"]
    assert min(official) > 3.4 and 10.4 < max(official) < 10.6
    rejected = {v.edition for v in comparison.verdicts if v.test.outcome == "rejected"}
    assert rejected == {"chapter", "softmax-zh-2018-12", "softmax-gluon-zh-2018-12"}
    for verdict in comparison.verdicts:
        by_means = verdict.test.p_value_mean <= 0.05
        assert by_means == (verdict.split == "official")
    assert round(z["chapter", "official"], 1) == 4.2
    assert round(z["chapter", "resplit"], 1) == 0.4
    assert round(z["softmax-zh-2018-12", "resplit"], 1) == 0.4
    leans = [ablation.test.mean_z["test_accuracy"] for ablation in comparison.ablations]
    assert min(leans) > 2
