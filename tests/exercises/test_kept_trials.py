"""Trials that are kept on their way: tried again, each goes on as the same run."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace

from d2l_mlp.exercises import search as searching_module
from d2l_mlp.exercises.kept_trials import check_trials, queue_kept
from d2l_mlp.exercises.outcome import settings_of
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.space import hold_out
from d2l_mlp.exercises.trials import create, try_setting
from d2l_mlp.runs import jobs
from d2l_mlp.runs.checkpoint import CheckpointError
from d2l_mlp.runs.checkpoint_folder import Folder
from d2l_mlp.runs.resuming import kept_epochs
from d2l_mlp.runs.run import Run
from d2l_mlp.runs.run_folders import RunFolders, under_way
from d2l_mlp.runs.sweep import make_pool, one_thread

import pytest
from optuna import TrialPruned
from optuna.trial import TrialState
from searching import RELEASE, SMALL, accuracies, check_whole


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "kept").mkdir()
    return RunFolders(tmp_path / "kept", "trial", ("final",))


@pytest.fixture(autouse=True)
def one_thread_is_told(monkeypatch):
    """Have checkpoints of this process be like those of a search's workers."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


class Died(BaseException):
    """The process did; what Optuna does not see."""


def dies_at(tenth):
    def try_and_die(trial, data, folders):
        report = trial.report

        def report_or_die(value, step):
            if step == tenth:
                raise Died
            report(value, step)

        trial.report = report_or_die
        with pytest.raises(Died):
            try_setting(trial, SMALL, data, folders)

    return try_and_die


def trained(monkeypatch):
    """Return a list that each training begun adds its first epoch to."""
    begun = []
    epochs = Run.epochs

    def spied(run, *args):
        begun.append(len(run.earlier) + 1)
        return epochs(run, *args)

    monkeypatch.setattr(Run, "epochs", spied)
    return begun


def test_a_trial_that_died_goes_on_as_the_same_run(
    place, folders, fashion_mnist, monkeypatch
):
    study = create(place, SMALL, RELEASE)
    study.ask()
    first = study.ask()
    dies_at(7)(first, fashion_mnist, folders)
    check_trials(folders, study, RELEASE, None)
    searching_module._retry_all(study, searching_module._running(study)[1:])
    queue_kept(folders, study)
    second = study.ask()
    assert (first.number, second.number) == (1, 2)
    begun, asked = trained(monkeypatch), []
    monkeypatch.setattr(
        second, "should_prune", lambda: asked.append(len(reported(study, 2)))
    )
    value = try_setting(second, SMALL, fashion_mnist, folders)
    assert begun == [8]
    settings = settings_of(study.trials[2])
    assert settings == settings_of(study.trials[1]) and settings.seed == 1
    # A new run of these settings, in one piece.
    whole = [
        r.test_accuracy for r in Run(settings, hold_out(fashion_mnist, 512)).epochs()
    ]
    assert value == whole[-1]
    assert reported(study, 2) == dict(enumerate(whole, start=1))
    assert reported(study, 1) == dict(list(enumerate(whole, start=1))[:6])
    assert asked == [7, 8, 9], "of what was trained since; the last before may be new"
    seconds = sum(
        r.seconds for r in Folder(folders.of(jobs.to_json(settings))).newest().results
    )
    assert study.trials[2].user_attrs["seconds"] == pytest.approx(seconds, abs=1)


def reported(study, number):
    return study.trials[number].intermediate_values


def test_without_folders_too_it_is_the_same_run(place, fashion_mnist):
    study = create(place, SMALL, RELEASE)
    dies_at(3)(study.ask(), fashion_mnist, None)
    for _ in range(2):
        searching_module._retry_all(study, searching_module._running(study))
        dies_at(2)(study.ask(), fashion_mnist, None)
    assert {settings_of(trial) for trial in study.trials} == {
        settings_of(study.trials[0])
    }
    assert len(study.trials) == 3 and settings_of(study.trials[2]).seed == 0


def test_one_that_was_lost_for_good_is_queued_while_it_is_kept(
    place, folders, fashion_mnist
):
    """As by a full disk, by too many deaths, or between its end and its successor."""
    study = create(place, SMALL, RELEASE)
    dies_at(2)(study.ask(), fashion_mnist, folders)
    study.tell(0, state=TrialState.FAIL)
    dies_at(2)(study.ask(), fashion_mnist, None)
    study.tell(1, state=TrialState.FAIL)
    for _ in range(2):
        check_trials(folders, study, RELEASE, None)
        queue_kept(folders, study)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.FAIL, TrialState.WAITING]
    assert study.trials[2].params == study.trials[0].params


def test_what_is_left_of_trials_that_ended_is_removed(place, folders, fashion_mnist):
    study = create(place, SMALL, RELEASE)
    trial = study.ask()
    value = try_setting(trial, SMALL, fashion_mnist, folders)
    assert len(under_way(folders.path)) == 1
    study.tell(trial, value)
    check_trials(folders, study, RELEASE, None)
    assert list(folders.path.iterdir()) == []


def test_a_trial_that_is_pruned_lets_its_folder_go(
    place, folders, fashion_mnist, monkeypatch
):
    study = create(place, SMALL, RELEASE)
    trial = study.ask()
    monkeypatch.setattr(trial, "should_prune", lambda: True)
    with pytest.raises(TrialPruned):
        try_setting(trial, SMALL, fashion_mnist, folders)
    # Refused to a second one, if the first had it still.
    with Folder(next(iter(under_way(folders.path).values()))):
        pass


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("another", "found a run under way of .* which is none of these"),
        ("damaged", "found no checkpoint that is whole"),
        ("renamed", r"found a checkpoint of another run, of lr .*, seed 5 \(asked for"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused_before_anything_is_changed(
    place, folders, fashion_mnist, kept, message
):
    study = create(place, SMALL, RELEASE)
    trial = study.ask()
    dies_at(2)(trial, fashion_mnist, folders)
    (path,) = under_way(folders.path).values()
    if kept == "damaged":
        for each in Folder(path).paths().values():
            each.write_bytes(b"damaged")
    else:
        settings = replace(settings_of(study.trials[0]), seed=5, lr=0.123)
        other = folders.of(jobs.to_json(settings))
        run = Run(settings, hold_out(fashion_mnist, 512))
        epochs = kept_epochs(run, other)
        next(epochs), epochs.close()
        if kept == "renamed":
            Folder(path).remove()
            other.rename(path)
    with pytest.raises(CheckpointError, match=message):
        next(search(place, SMALL, 2, 1, RELEASE, folders=folders))
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    assert under_way(folders.path)


def test_final_runs_are_none_of_a_searchs_business(place, folders, fashion_mnist):
    study = create(place, SMALL, RELEASE)
    dies_at(2)(study.ask(), fashion_mnist, folders)
    (path,) = under_way(folders.path).values()
    path.rename(path.with_name(path.name.replace("trial", "final")))
    check_trials(folders, study, RELEASE, None)
    assert len(under_way(folders.path)) == 1


def test_workers_that_are_killed_lose_no_epoch(place, folders):
    """Killed at any moment; what each trial ends with is what it would have, alone."""
    killed = 0
    for _ in search(place, SMALL, 6, 2, RELEASE, folders=folders):
        workers = [w for w in multiprocessing.active_children() if w.is_alive()]
        if killed < 2 and workers:
            os.kill(workers[0].pid, signal.SIGKILL)
            killed += 1
            # One death after the other.
            time.sleep(0.5)
    assert killed == 2
    study = place.open()
    assert 1 <= len(check_whole(study, 6)) <= 2
    assert list(folders.path.iterdir()) == []
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    # With one thread, as a search's workers have.
    with one_thread():
        pool = make_pool(1)
    try:
        for trial in ended:
            job = trial.user_attrs["settings"]
            whole = pool.schedule(accuracies, args=[job, RELEASE]).result()
            steps = max(trial.intermediate_values)
            assert trial.intermediate_values == dict(enumerate(whole[:steps], start=1))
    finally:
        pool.stop()
        pool.join()
