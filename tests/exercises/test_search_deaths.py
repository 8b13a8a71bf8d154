"""Workers of a search that die, sleep or fail, and a search that is killed."""

import multiprocessing
import os
import signal
import time

from d2l_mlp.exercises import search as searching_module
from d2l_mlp.exercises import trials
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.storage import open_storage
from d2l_mlp.exercises.trials import create
from d2l_mlp.runs.sweep import SweepError

import optuna
import pytest
from optuna.trial import TrialState
from searching import RELEASE, SMALL, check_whole, start


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

    def asleep_once(trial, space, data):
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


@pytest.mark.endurance
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
