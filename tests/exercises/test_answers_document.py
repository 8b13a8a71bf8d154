"""docs/exercises.md says what the stored runs say."""

import json
from pathlib import Path

from d2l_mlp.exercises.outcome import conclude
from d2l_mlp.exercises.studies import STUDIES, make_jobs
from d2l_mlp.exercises.summary import mean_sd, summarise
from d2l_mlp.exercises.trials import Place
from d2l_mlp.runs.sweep import read

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
STORED = DOCS / "exercises"
SEARCHES = {"4": "plain", "4-regularised": "regularised"}


@pytest.fixture(scope="module")
def page():
    return (DOCS / "exercises.md").read_text()


def rows_of(number):
    records = read(STORED / str(number) / "results.jsonl")
    return summarise(STUDIES[number], records, 10, range(3))


def line(row):
    label = (
        f"{row.case.label}, {row.case.series}" if row.case.series else row.case.label
    )
    cells = [label, mean_sd(row.losses, 4), mean_sd(row.accuracies, 4)]
    return "| " + " | ".join([*cells, f"{row.seconds:.2f}", row.outcome]) + " |"


@pytest.mark.parametrize("number", STUDIES)
def test_every_case_stands_on_the_page(page, number):
    records = read(STORED / str(number) / "results.jsonl")
    release = records[0]["job"]["release"]
    planned = make_jobs(STUDIES[number], 10, range(3), release)
    assert len(records) == len(planned)
    for row in rows_of(number):
        assert line(row) in page


def test_what_the_page_says_in_words_holds():
    units = {row.case.label: row for row in rows_of(1)}
    means = {label: row.accuracies.mean() for label, row in units.items()}
    losses = [row.losses.mean() for row in units.values()]
    assert losses == sorted(losses, reverse=True)
    assert means["64"] - means["16"] == pytest.approx(0.016, abs=5e-4)
    assert means["4096"] - means["256"] < 0.01
    assert round(units["256"].seconds, 2) == 0.61
    layers = {(row.case.series, row.case.label): row for row in rows_of(2)}
    assert layers["0.01", "4"].curves[:, 0].max() < 0.11
    best = max(row.accuracies.mean() for row in layers.values())
    assert best - layers["0.01", "1"].accuracies.mean() < 0.004
    assert any(row.num_diverged for row in layers.values())
    rates = {row.case.label: row for row in rows_of(3)}
    assert round(rates["0.5"].seconds, 2) == 0.51
    assert rates["1"].accuracies.max() < 0.3 and rates["1"].num_guessing == 1
    accuracies = [row.accuracies.mean() for row in rates.values()]
    assert accuracies[:5] == sorted(accuracies[:5])
    assert abs(accuracies[4] - accuracies[5]) < 0.002
    for label in ("2", "3"):
        assert rates[label].num_guessing == 3 and rates[label].num_diverged == 0
        np.testing.assert_allclose(rates[label].accuracies, 0.1)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_stands_on_the_page(page, name, tmp_path):
    stored = json.loads((STORED / name / "search.json").read_text())
    journal = tmp_path / "copy.journal"
    journal.write_bytes((STORED / name / "search.journal").read_bytes())
    study = Place(SEARCHES[name], journal).open()
    found = conclude(study)
    assert stored["states"] == found.states
    assert stored["validation_accuracy"] == study.best_value
    assert stored["command"] in page
    for text in (
        stored["test_accuracy"],
        f"{study.best_value:.4f}",
        f"{found.minutes:.0f} minutes",
    ):
        assert text in page
    finals = read(STORED / name / "final.jsonl")
    ends = [record["result"]["curves"]["test_accuracy"][-1] for record in finals]
    assert sorted(ends) == sorted(stored["test_accuracies"]) and len(ends) == 5
    settings = stored["chosen"]
    for record in finals:
        found_settings = record["job"]["settings"]
        assert {k: v for k, v in found_settings.items() if k != "seed"} == {
            k: v for k, v in settings.items() if k != "seed"
        }
