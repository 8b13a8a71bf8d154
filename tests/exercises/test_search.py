"""The search over a journal: what it tries, what it prunes, and who dies on the way."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from d2l_mlp import jobs
from d2l_mlp.commands import search as command
from d2l_mlp.exercises import search as searching_module
from d2l_mlp.exercises import trials
from d2l_mlp.exercises.outcome import conclude, describe, settings_of
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.search_figures import draw
from d2l_mlp.exercises.space import Space, hold_out
from d2l_mlp.exercises.storage import open_storage, told
from d2l_mlp.exercises.trials import Place, create, try_setting
from d2l_mlp.run import Run
from d2l_mlp.sweep import SweepError, read

import optuna
import pytest
from optuna.trial import TrialState
from searching import RELEASE, SMALL, check_whole


@pytest.fixture
def place(tmp_path):
    return Place("small", tmp_path / "search.journal")


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


def test_workers_that_are_killed_lose_no_trial(place):
    killed = []
    for _ in search(place, SMALL, 6, 2, RELEASE):
        workers = [w for w in multiprocessing.active_children() if w.is_alive()]
        if len(killed) < 2 and workers:
            killed.append(workers[0].pid)
            os.kill(killed[-1], signal.SIGKILL)
            # One death after the other.
            time.sleep(0.5)
    assert len(killed) == 2
    assert 1 <= len(check_whole(place.open(), 6)) <= 2


def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_keep_dying_end_the_search(place, monkeypatch):
    monkeypatch.setattr(searching_module, "work", dies)
    monkeypatch.setattr(searching_module, "DEATHS", 2)
    with pytest.raises(SweepError, match="3 worker processes died, one after the"):
        list(search(place, SMALL, 6, 1, RELEASE))


def test_a_trial_that_fails_is_told_of(place, tmp_path):
    with pytest.raises(SweepError, match="a trial failed: release: found 'none'"):
        list(search(place, SMALL, 2, 1, "none", str(tmp_path)))


def test_a_worker_that_was_taken_for_dead_goes_on_with_another_trial(
    place, monkeypatch
):
    """As on a machine that was asleep: its trial has been failed by others."""
    study = create(place, SMALL, RELEASE)
    calls = []

    def asleep_once(trial, space, data, folders):
        calls.append(trial.number)
        if len(calls) == 1:
            place.open().tell(trial.number, state=TrialState.FAIL)
        trial.report(0.5, 1)
        return 0.5

    monkeypatch.setattr(trials, "try_setting", asleep_once)
    trials.work("name", place, SMALL, 2, RELEASE, None)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def test_a_study_that_was_half_made_is_made_whole(place):
    storage = open_storage(place.path)
    optuna.create_study(storage=storage, study_name=place.name, direction="maximize")
    study = create(place, SMALL, RELEASE)
    assert study.user_attrs["facts"]["release"] == RELEASE
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]
    assert len(create(place, SMALL, RELEASE).trials) == 1


def test_a_worker_that_dies_before_it_gives_its_name_is_found_by_time(
    place, monkeypatch
):
    study = create(place, SMALL, RELEASE)
    trial = study.ask()
    nameless = searching_module._Nameless(patience=10)
    now = [100.0]
    monkeypatch.setattr(searching_module.time, "monotonic", lambda: now[0])
    assert nameless.dead(study) == []
    now[0] = 109
    assert nameless.dead(study) == []
    now[0] = 111
    assert [t.number for t in nameless.dead(study)] == [trial.number]
    trial.set_user_attr("worker", "one")
    assert nameless.dead(study) == []


def test_what_a_dead_trial_noted_is_not_its_successors(place):
    study = create(place, SMALL, RELEASE)
    trial = study.ask()
    SMALL.suggest(trial)
    trial.set_user_attr("worker", "dead")
    trial.set_user_attr("seconds", 99)
    searching_module._retry_all(study, searching_module._running(study))
    first, second = study.trials
    assert second.state == TrialState.WAITING and second.params == first.params
    assert second.user_attrs == {} and first.user_attrs["worker"] == "dead"


@pytest.mark.parametrize(
    "error", [optuna.exceptions.StorageInternalError(), KeyError(1)]
)
def test_a_storage_that_is_gone_is_told_of(error):
    expected = pytest.raises(SweepError, match="there: does not answer as it did")
    with expected, told("there"):
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


SCRIPT = """
import sys
from pathlib import Path
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.trials import Place
from searching import RELEASE, SMALL
if __name__ == "__main__":
    _, name, path, url, trials = sys.argv
    place = Place(name, Path(path), url or None, heartbeat=1)
    for trial in search(place, SMALL, int(trials), 2, RELEASE):
        print(trial.number, flush=True)
"""


def start(tmp_path, place, trials=6):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, script, place.name, place.path, place.url or "", str(trials)],
        env=env, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("kill", [os.killpg, os.kill], ids=["all", "main"])
def test_a_killed_search_goes_on_where_it_was(place, tmp_path, kill):
    """Its workers end with it, if they were not killed as well."""
    process = start(tmp_path, place)
    assert process.stdout.readline()
    kill(process.pid, signal.SIGKILL)
    process.wait()
    # The workers hold its standard output open.
    process.stdout.read()
    before = [t.state for t in place.open().trials]
    assert TrialState.RUNNING in before
    list(search(place, SMALL, 5, 2, RELEASE))
    assert len(check_whole(place.open(), 5)) == before.count(TrialState.RUNNING)
