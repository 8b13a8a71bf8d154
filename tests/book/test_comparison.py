import json

from d2l_mlp.book import CHAPTER, LINEAR, load_editions
from d2l_mlp.book.comparison import compare
from d2l_mlp.book.curves import curves
from d2l_mlp.book.editions import models_of
from d2l_mlp.book.evidence import gather_evidence, sums_in_mxnet
from d2l_mlp.book.runs import OFFICIAL, RESPLIT
from d2l_mlp.book.variants import VARIANTS

import numpy as np
import pytest
from records import RELEASE, make_record

EDITIONS = load_editions()


def runs_of(*ids, n=30, split=OFFICIAL, shift=0.0, variants=("as published",)):
    return [
        make_record(EDITIONS[id], seed, split, shift, variant)
        for id in ids
        for variant in variants
        for seed in range(n)
    ]


def test_curves_are_the_editions_epochs_and_averages_by_seed():
    records = runs_of(CHAPTER, n=4)[::-1]
    for metric, raised in (("batch", 0.0), ("sample", 1.0)):
        found = curves(records, EDITIONS[CHAPTER], OFFICIAL, train_metric=metric)
        assert found.shape == (4, 10, 3)
        kept = records[-1]["result"]["curves"]
        assert found[0, :, 0] == pytest.approx(kept[f"loss_{metric}"], abs=1e-4)
        assert found[0, :, 2] == pytest.approx(kept["test_accuracy"], abs=1e-3)
        assert (found[..., 0].mean() > 1) == bool(raised)
    short = curves(records, EDITIONS["zh-2018-08"], OFFICIAL)
    np.testing.assert_array_equal(
        short, curves(records, EDITIONS[CHAPTER], OFFICIAL)[:, :5]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"split": RESPLIT},
        {"variant": "lr 0.6"},
        {"settings": {"lr": 0.4}},
        {"settings": {"num_hiddens": [64]}},
        {"settings": {"batch_size": 128}},
    ],
)
def test_other_runs_are_passed_over(change):
    records = runs_of(CHAPTER, n=3)
    records[0]["job"] |= change | {
        "settings": records[0]["job"]["settings"] | change.get("settings", {})
    }
    assert len(curves(records, EDITIONS[CHAPTER], OFFICIAL)) == 2


def test_diverged_and_foreign_runs_are_left_out():
    records = runs_of(CHAPTER, n=9)
    records[0]["result"] = {"curves": {}, "diverged": True}
    records[1]["job"]["release"] = "2017-08-26"
    found = compare(records, [EDITIONS[CHAPTER]], RELEASE)
    assert found.verdicts[0].test.num_runs == 7
    assert found.diverged == {("chapter", "official"): 1}
    assert "1 diverged runs are left out" in found.summary()
    with pytest.raises(
        ValueError, match="chapter, official: found 2 runs .*1 diverged"
    ):
        compare(records[:1] + records[2:4], [EDITIONS[CHAPTER]], RELEASE)


def test_runs_around_the_printed_curve_reproduce_it():
    found = compare(runs_of(CHAPTER), [EDITIONS[CHAPTER]], RELEASE)
    verdict = found.verdict(CHAPTER, OFFICIAL)
    assert verdict.test.outcome == "not rejected" and not found.rejected
    assert verdict.test.p_value == 1.0, "the printed curve is the middle itself"
    assert verdict.outside == 0 and verdict.numbers == 30
    assert (
        "chapter on the published split: not to be told from our runs (p = 1.000 "
        in str(verdict)
    )
    assert found.summary() == (
        "On the published split of 2017-08-31 no edition is rejected."
    )
    assert not found.together and not found.effects and not found.ablations


def test_runs_below_it_do_not_and_the_sentence_says_by_how_much():
    found = compare(runs_of(CHAPTER, shift=-3), [EDITIONS[CHAPTER]], RELEASE)
    verdict = found.verdicts[0]
    assert verdict.test.outcome == "rejected" and found.rejected
    assert "not reproduced (p = 0.032 over 30 runs);" in str(verdict)
    assert "standard deviations above ours (p = 0.032 by the means)" in str(verdict)
    assert verdict.outside > 20
    assert "chapter is rejected at 5%" in found.summary()


def test_too_few_runs_decide_nothing():
    found = compare(runs_of(CHAPTER, n=10, shift=9), [EDITIONS[CHAPTER]], RELEASE)
    assert "undecided, 10 runs can reject nothing" in str(found.verdicts[0])
    assert "there are too few runs" in found.summary() and not found.rejected
    assert gather_evidence(found)[2].holds is None


def test_editions_of_one_model_share_their_runs():
    editions = list(EDITIONS.values())
    groups = [[edition.id for edition in model] for model in models_of(editions)]
    assert groups == [list(EDITIONS)[:3], list(EDITIONS)[3:]]


def test_runs_that_learn_nothing_are_compared_too():
    records = runs_of(CHAPTER) + runs_of(CHAPTER, split=RESPLIT)
    for record in records:
        curves = record["result"]["curves"]
        # A number whose mean is exact, so that there is no spread at all.
        curves["test_accuracy"] = [0.5] * len(curves["test_accuracy"])
    found = compare(records, [EDITIONS[CHAPTER]], RELEASE)
    (effect,) = found.effects
    assert effect.deviations == 0 and effect.last.p_value == 1
    json.dumps(found.to_json(), allow_nan=False)


def test_all_editions_on_both_splits():
    records = runs_of(CHAPTER, LINEAR) + runs_of(
        CHAPTER, LINEAR, split=RESPLIT, shift=2
    )
    found = compare(records, list(EDITIONS.values()), RELEASE)
    assert [(v.edition, v.split) for v in found.verdicts] == [
        (id, split) for split in (OFFICIAL, RESPLIT) for id in EDITIONS
    ]
    assert [each.split for each in found.together] == [OFFICIAL, RESPLIT]
    assert found.together[1].p_value < 0.001
    for effect in found.effects:
        for each in (effect.last, effect.all_epochs):
            assert each.low < each.difference < each.high
        assert effect.all_epochs.low < 0.02 < effect.all_epochs.high
        assert effect.deviations > 3 and effect.p_value == pytest.approx(1 / 31)
    # Everything for machines, and no NaN, which is no JSON.
    contents = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (
        len(contents["cells"]) == 10
        and len(contents["cells"]["chapter official"]) == 30
    )
    assert contents["verdicts"][0]["sentence"] == str(found.verdicts[0])


def test_one_of_two_rejected_is_no_rejection_of_both():
    """Each test is at 5 %; of several some would be rejected too often."""
    records = runs_of(CHAPTER, shift=-3) + runs_of(LINEAR)
    found = compare(records, [EDITIONS[CHAPTER], EDITIONS[LINEAR]], RELEASE)
    outcomes = [verdict.test.outcome for verdict in found.verdicts]
    assert outcomes == ["rejected", "not rejected"]
    assert not found.together[0].rejected and not found.rejected


def test_ablations_are_judged_by_their_own_runs():
    chapter = EDITIONS[CHAPTER]
    records = runs_of(CHAPTER) + runs_of(
        CHAPTER, shift=4, variants=["lr 0.6", "scale 0.1"]
    )
    found = compare(records, [chapter], RELEASE).ablations
    assert [ablation.title for ablation in found] == [
        VARIANTS["as published"].title, "averaged by sample",
        VARIANTS["lr 0.6"].title, VARIANTS["scale 0.1"].title,
    ]  # fmt: skip
    assert [ablation.test.outcome == "rejected" for ablation in found] == [
        False,
        True,
        True,
        True,
    ]


def test_mxnets_source_holds_the_sums_of_the_books_release_alone():
    assert sums_in_mxnet() == {"2017-08-26": True, "2017-08-31": False}


def test_the_evidence_says_what_holds_what_not_and_what_was_not_run():
    records = runs_of(CHAPTER, LINEAR, shift=-3)
    found = compare(records, list(EDITIONS.values()), RELEASE)
    steps = {step.claim: step for step in gather_evidence(found)}
    holds = [step.holds for step in steps.values()]
    assert holds == [True, True, True, None, True, True, None]
    assert "compare --split resplit" in list(steps.values())[3].found
    assert "compare --release 2017-08-26" in list(steps.values())[-1].found
    assert "Fisher" in list(steps.values())[5].found
    # Where the runs say otherwise, so does the evidence.
    found = compare(runs_of(CHAPTER), [EDITIONS[CHAPTER]], RELEASE)
    assert gather_evidence(found)[2].holds is False


def test_on_the_books_release_the_last_step_is_run():
    records = runs_of(CHAPTER)
    for record in records:
        record["job"]["release"] = "2017-08-26"
    found = compare(records, [EDITIONS[CHAPTER]], "2017-08-26")
    steps = gather_evidence(found)
    assert [step.holds for step in steps] == [True, True]
    assert steps[-1].found == "p = 1.000 over 30 runs"
