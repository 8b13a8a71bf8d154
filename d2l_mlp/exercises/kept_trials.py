"""Trials of a search that were under way when it was stopped, and go on."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..runs import jobs
from ..runs.run import Run
from ..runs.run_folders import RunFolders
from ..runs.sweep import Json
from .space import hold_out
from .storage import first_number, retry
from .trials import ENDED

#: States of trials that are to be trained.
LIVE = (TrialState.RUNNING, TrialState.WAITING)


def check_trials(
    folders: RunFolders, study: optuna.Study, release: str, root: str | None
) -> None:
    """Hold the runs that are kept against the trials, before any of them goes on.

    What is left of those that have ended is removed.

    Args:
        folders: of the trials' runs.
        study: the trials.
        release: of the data set.
        root: folder of the data files.

    Raises:
        CheckpointError: a run is kept that is none of them, or none of its checkpoints
            is whole and of the same data and versions.
    """

    def make(job: Json) -> Run:
        settings = jobs.from_json(job)
        return Run(settings, hold_out(jobs.load(root, release), settings.batch_size))

    trials = study.trials
    ended = {first_number(trial) for trial in trials if trial.state in ENDED}
    planned = []
    for trial in filter(_has_begun, trials):
        if first_number(trial) in ended:
            remove(folders, trial)
        else:
            planned.append(trial.user_attrs["settings"])
    folders.check(planned, make)


def queue_kept(folders: RunFolders, study: optuna.Study) -> None:
    """Queue those that are kept, and neither ended nor queued, as often as it takes.

    As those whose process died before it had queued them, or too often, or whose disk
    was full.
    """
    trials = study.trials
    settled = {first_number(t) for t in trials if t.state in (*ENDED, *LIVE)}
    for trial in filter(_has_begun, reversed(trials)):
        number, job = first_number(trial), trial.user_attrs["settings"]
        if number not in settled and folders.has(job):
            settled.add(number)
            retry(study, trial, max_retry=None)


def remove(folders: RunFolders, trial: FrozenTrial) -> None:
    """Delete what is kept of a trial that has ended."""
    if _has_begun(trial):
        folders.remove(trial.user_attrs["settings"])


def _has_begun(trial: FrozenTrial) -> bool:
    return "settings" in trial.user_attrs
