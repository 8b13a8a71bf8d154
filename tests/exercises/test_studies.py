"""Exercises 1 to 3: what is run, what is said of it, and what is drawn."""

import io
import math
from dataclasses import replace

from d2l_mlp.exercises import figures, studies, summary, tables
from d2l_mlp.exercises.studies import STUDIES, make_jobs
from d2l_mlp.exercises.summary import answer, mean_sd, summarise
from d2l_mlp.runs.run import Settings

import numpy as np
import pytest
from rich.console import Console

RELEASE = "2017-08-31"


def record(job, accuracy, loss=0.4, epochs=2):
    curves = {
        "test_accuracy": [accuracy] * epochs,
        "loss_sample": [loss] * epochs,
        "seconds": [0.5] * epochs,
    }
    return {"job": job, "result": {"curves": curves, "diverged": False}}


def diverged(job):
    return {"job": job, "result": {"curves": {}, "diverged": True}}


def records_of(study, make, seeds=(0, 1, 2)):
    return [
        make(job, seed, i % len(study.cases))
        for seed in seeds
        for i, job in enumerate(make_jobs(study, 2, [seed], RELEASE))
    ]


@pytest.mark.parametrize("number", STUDIES)
def test_a_study_changes_what_it_asks_of_and_holds_the_chapters_case(number):
    study = STUDIES[number]
    planned = make_jobs(study, 10, range(3), RELEASE)
    assert len({str(job) for job in planned}) == 3 * len(study.cases)
    settings = [Settings(**job["settings"]) for job in planned]
    assert {s.seed for s in settings} == {0, 1, 2}
    assert Settings(hybridize=True, seed=1) in settings
    asked = {1: {"num_hiddens"}, 2: {"num_hiddens", "scale"}, 3: {"lr"}}[number]
    for found in settings:
        back = {name: getattr(Settings(), name) for name in asked}
        assert replace(found, **back) == Settings(hybridize=True, seed=found.seed)


def test_the_ranges_are_the_chapters():
    assert studies.WIDTHS[0] == 16 and studies.WIDTHS[-1] == 4096
    assert studies.RATES[0] == 0.003 and studies.RATES[-1] == 3
    layers = {len(c.settings["num_hiddens"]) for c in STUDIES[2].cases}
    assert layers == {1, 2, 3, 4}


def test_rows_are_the_runs_of_their_case(fashion_mnist):
    study = STUDIES[3]
    found = records_of(study, lambda job, seed, i: record(job, 0.5 + 0.01 * i + seed))
    rows = summarise(study, found[::-1], 2, range(3))
    for i, row in enumerate(rows):
        np.testing.assert_allclose(row.accuracies, 0.5 + 0.01 * i + np.arange(3))
        assert row.curves.shape == (3, 2) and row.seconds == 0.5
        assert row.num_runs == 3 and row.outcome == ""


def test_the_answer_names_the_best_and_its_gain():
    study = STUDIES[3]
    # Learning rate 1 is the seventh, the chapter's 0.5 the sixth.
    values = [0.8, 0.8, 0.8, 0.8, 0.8, 0.85, 0.87, 0.8, 0.8]
    found = records_of(
        study, lambda job, seed, i: record(job, values[i] + 0.001 * seed)
    )
    lines = answer(study, summarise(study, found, 2, range(3)))
    assert lines[0] == (
        "best mean test accuracy: learning rate 1, 0.8710 ± 0.0010 over 3 seeds"
    )
    error = math.hypot(0.001, 0.001) / math.sqrt(3)
    assert lines[1] == (
        "the chapter's, learning rate 0.5: 0.8510 ± 0.0010; the best gains 0.0200 "
        f"(standard error {error:.4f})"
    )
    assert len(lines) == 2


def test_a_diverged_run_is_shown_as_one():
    study = STUDIES[3]

    def make(job, seed, i):
        if i == 8 or (i == 7 and seed == 1):
            return diverged(job)
        return record(job, 0.1, 2.31) if i == 6 else record(job, 0.8)

    rows = summarise(study, records_of(study, make), 2, range(3))
    assert [row.outcome for row in rows[6:]] == [
        "3 of 3 learned nothing",
        "1 of 3 diverged",
        "3 of 3 diverged",
    ]
    assert "learning rate 3: 3 of 3 diverged" in answer(study, rows)
    assert math.isnan(rows[8].seconds) and len(rows[7].accuracies) == 2
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tables.table(study, rows))
    text = console.export_text()
    assert text.count("3 of 3 diverged") == 1 and "nan" not in text
    figure = figures.draw(study, rows)
    words = [text.get_text() for axes in figure.axes[:2] for text in axes.texts]
    assert words == [row.outcome for row in rows[6:]] * 2
    line = figure.axes[0].containers[0].lines[0].get_ydata()
    assert np.isnan(np.array(line, float)).tolist() == [False] * 6 + [True] * 3


@pytest.mark.parametrize("number", STUDIES)
def test_a_figure_shows_means_and_standard_deviations(number):
    study = STUDIES[number]
    found = records_of(study, lambda job, seed, i: record(job, 0.8 + 0.01 * seed, i))
    rows = summarise(study, found, 2, range(3))
    accuracy, loss, curves, seconds = figures.draw(study, rows, "a title").axes
    series = len({case.series for case in study.cases})
    assert len(accuracy.containers) == len(loss.containers) == series
    line, _, (bars,) = accuracy.containers[0].lines
    shown = [row for row in rows if row.case.series == study.cases[0].series]
    sound = [row for row in shown if not row.outcome]
    drawn = [value for value in line.get_ydata() if not np.isnan(value)]
    assert drawn == pytest.approx([0.81] * len(sound))
    ends = [segment for segment in bars.get_segments() if len(segment)]
    heights = [high[1] - low[1] for low, high in ends]
    assert heights == pytest.approx([0.02] * len(sound))
    assert len(curves.lines) == len(rows)
    heights = [bar.get_height() for bar in seconds.patches]
    assert heights == [0.5] * len(rows)
    labels = [text.get_text() for text in accuracy.get_xticklabels()]
    assert labels == [row.case.label for row in shown]


def test_a_net_that_gives_one_answer_learned_nothing_whatever_its_loss():
    study = STUDIES[3]
    found = records_of(study, lambda job, seed, i: record(job, 0.1 if seed else 0.8))
    rows = summarise(study, found, 2, range(3))
    assert {row.outcome for row in rows} == {"2 of 3 learned nothing"}


def test_one_run_has_no_deviation():
    assert mean_sd(np.array([0.88123]), 3) == "0.881"
    assert mean_sd(np.array([0.5, 0.7]), 3) == "0.600 ± 0.141"
    assert mean_sd(np.array([]), 3) == "–"
    study = STUDIES[3]
    found = records_of(study, lambda job, seed, i: record(job, 0.8), seeds=(0,))
    rows = summarise(study, found, 2, range(1))
    assert "nan" not in " ".join(answer(study, rows)[:1])
    figures.draw(study, rows)


def test_guessing_is_what_ten_equal_probabilities_cost():
    assert pytest.approx(-math.log(0.1)) == summary.GUESSING
