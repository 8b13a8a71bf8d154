"""The search over a journal: what it tries, what it prunes, and who dies on the way."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from d2l_mlp.exercises import search as searching_module
from d2l_mlp.exercises.outcome import conclude, describe, settings_of
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.search_figures import draw
from d2l_mlp.exercises.space import Space, hold_out
from d2l_mlp.exercises.trials import Place, create, try_setting
from d2l_mlp.run import Run
from d2l_mlp.sweep import SweepError

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


def test_a_trials_value_is_its_runs_accuracy_on_held_out_images(
    searched, fashion_mnist
):
    place, _ = searched
    trial = conclude(place.open()).best[0]
    settings = settings_of(trial)
    run = Run(settings, hold_out(fashion_mnist, settings.batch_size))
    # Workers compute with one thread, which adds in another order than two.
    (*_, last) = run.epochs()
    assert last.test_accuracy == pytest.approx(trial.value, abs=0.02)


def test_going_on_counts_what_has_ended(searched):
    place, _ = searched
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
    assert all(figure.axes[0].get_title() == "a title" for figure in figures.values())


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
    with pytest.raises(SweepError, match="a trial failed: .*no such folder|found"):
        list(search(place, SMALL, 2, 1, "none", str(tmp_path)))


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


def test_a_killed_search_goes_on_where_it_was(place, tmp_path):
    process = start(tmp_path, place)
    assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = [t.state for t in place.open().trials]
    assert TrialState.RUNNING in before
    list(search(place, SMALL, 5, 2, RELEASE))
    assert len(check_whole(place.open(), 5)) == before.count(TrialState.RUNNING)
