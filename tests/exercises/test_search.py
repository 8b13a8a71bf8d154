"""The search over a journal: what it tries, what it prunes, and how it ends."""

import json
import shutil
from dataclasses import replace

from d2l_mlp.commands import search as command
from d2l_mlp.dataset.splits import hold_out
from d2l_mlp.exercises.outcome import conclude, describe, settings_of
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.search_figures import draw
from d2l_mlp.exercises.space import Space
from d2l_mlp.exercises.storage import storage_errors
from d2l_mlp.exercises.trials import Place, create, try_setting
from d2l_mlp.runs import jobs
from d2l_mlp.runs.run import Run
from d2l_mlp.runs.sweep import SweepError, read

import optuna
import pytest
from optuna.trial import TrialState
from searching import RELEASE, SMALL, check_whole


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    place = Place("small", tmp_path_factory.mktemp("search") / "search.journal")
    found = list(search(place, SMALL, 6, 2, RELEASE))
    return place, found


def test_each_trial_is_told_of_once_and_learns(searched):
    place, found = searched
    study = place.open()
    assert check_whole(study, 6) == []
    assert sorted(t.number for t in found) == [t.number for t in study.trials]
    assert len(found) <= 7, "no more than were under way"
    for trial in found:
        if trial.state == TrialState.COMPLETE:
            assert trial.value == trial.intermediate_values[10]
        assert describe(trial).startswith(f"trial {trial.number}: ")
    assert study.best_value > 0.6
    assert settings_of(study.trials[0]).lr == 0.5, "the chapter's, as far as it goes"


def test_a_trial_never_sees_the_test_set(place, fashion_mnist):
    blind = replace(fashion_mnist, test_images=None, test_labels=None)
    study = create(place, SMALL, RELEASE)
    study.optimize(lambda trial: try_setting(trial, SMALL, blind), n_trials=1)
    (trial,) = study.trials
    run = Run(settings_of(trial), hold_out(blind, 512))
    (*_, last) = run.epochs()
    assert last.test_accuracy == trial.value


def test_going_on_counts_what_has_ended(searched, place):
    # In a copy: the others look at the search as it ended.
    shutil.copy(searched[0].path, place.path)
    before = len(place.open().trials)
    assert list(search(place, SMALL, 3, 1, RELEASE)) == []
    more = list(search(place, SMALL, before + 1, 1, RELEASE))
    assert [trial.number for trial in more] == [before]


def test_the_end_and_its_figures(searched):
    place, _ = searched
    study = place.open()
    found = conclude(study)
    values = [trial.value for trial in found.best]
    assert values == sorted(values, reverse=True) and values[0] == study.best_value
    assert sum(found.states.values()) == len(study.trials)
    assert 0 < found.minutes < 10 and found.span > 0
    figures = draw(study, "a title")
    assert set(figures) == {"history", "importance", "parallel"}
    for figure in figures.values():
        assert figure.axes[0].get_title() == "a title"
        assert figure.axes[0].get_title("left") == ""


def test_another_space_or_release_is_refused(searched):
    place, _ = searched
    for space, release in ((replace(SMALL, units=(8,)), RELEASE), (SMALL, "another")):
        with pytest.raises(SweepError, match="study small: found one made of"):
            next(search(place, space, 9, 1, release))


def test_a_diverging_trial_is_pruned_and_said_to_diverge(place, fashion_mnist):
    # Far too large a start: the loss is infinite in the first epoch.
    wild = Space(num_epochs=(10,), lr=(0.99, 1.0), units=(8,), scale=(1e30,))
    study = create(place, wild, RELEASE)
    study.optimize(lambda trial: try_setting(trial, wild, fashion_mnist), n_trials=1)
    (trial,) = study.trials
    assert trial.state == TrialState.PRUNED and trial.user_attrs["diverged"]
    assert describe(trial).startswith("trial 0: diverged in ")
    with pytest.raises(ValueError, match="trials: found none that was completed"):
        conclude(study)


def test_a_trial_behind_the_median_is_pruned_at_half_of_its_run(place, fashion_mnist):
    study = create(place, SMALL, RELEASE)
    for _ in range(8):
        values = {step: 0.99 for step in range(1, 11)}
        good = optuna.create_trial(value=0.99, intermediate_values=values)
        study.add_trial(good)
    study.optimize(lambda trial: try_setting(trial, SMALL, fashion_mnist), n_trials=1)
    (trial,) = study.get_trials(states=(TrialState.PRUNED,))
    assert max(trial.intermediate_values) == 5


@pytest.mark.parametrize(
    "error", [optuna.exceptions.StorageInternalError(), KeyError(1)]
)
def test_a_storage_that_is_gone_is_told_of(error):
    expected = pytest.raises(SweepError, match="there: does not answer as it did")
    with expected, storage_errors("there"):
        raise error


@pytest.fixture
def exercise_4(monkeypatch, tmp_path):
    """Return the command, over a small space, into ``tmp_path``."""
    monkeypatch.setattr("d2l_mlp.exercises.space.PLAIN", SMALL)

    def run(trials, seeds=2):
        command.exercise_4(
            trials, False, seeds, 2, None, None, 10, None, tmp_path / "found"
        )

    return run


def test_the_whole_exercise_ends_in_a_test_and_its_command(
    exercise_4, tmp_path, capsys
):
    exercise_4(5)
    text = capsys.readouterr().out
    folder = tmp_path / "found"
    stored = json.loads((folder / "search.json").read_text())
    finals = [
        r["result"]["curves"]["test_accuracy"][-1] for r in read(folder / "final.jsonl")
    ]
    assert stored["tests"] == 1 and len(finals) == 2
    assert sorted(stored["test_accuracies"]) == sorted(finals)
    assert f"test accuracy {stored['test_accuracy']} over 2 seeds" in text
    assert f"to repeat the first: {stored['command']}" in text
    assert stored["chosen"] == stored["best"][0]["settings"]
    assert {p.stem for p in folder.glob("*.png")} == {
        "history",
        "importance",
        "parallel",
    }
    # The same again: nothing is run, nothing more is read of the test set.
    exercise_4(5)
    assert "0 to go" in capsys.readouterr().out
    # Another winner is another test, and said to be.
    study = Place("plain", folder / "search.journal").open()
    better = replace(settings_of(conclude(study).best[0]), lr=0.123)
    study.add_trial(
        optuna.create_trial(value=0.99, user_attrs={"settings": jobs.to_json(better)})
    )
    exercise_4(5, seeds=1)
    assert "now read for 2 settings" in capsys.readouterr().out
    assert json.loads((folder / "search.json").read_text())["tests"] == 2
