"""The trials of a search: where they are kept, and what a worker does for each."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import TrialState

from ..chapter.results import TrainingDiverged
from ..dataset.fashion_mnist import FashionMNIST
from ..dataset.splits import HELD_OUT, hold_out
from ..runs import jobs
from ..runs.run import Run
from ..runs.sweep import SweepError
from .space import Space
from .storage import first_number, mask_password, open_storage

#: Trials that end the search, together.
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Place:
    """Where the trials of a search are kept; a worker opens it by itself.

    Attributes:
        name: the study's.
        path: a journal.
        url: a database in its place.
        heartbeat: see ``open_storage``.
    """

    name: str
    path: Path
    url: str | None = None
    heartbeat: int = 10

    @property
    def text(self) -> str:
        """Return where it is, without a password."""
        return str(self.path) if self.url is None else mask_password(self.url)

    def open(self) -> optuna.Study:
        """Return the study as one more process sees it."""
        storage = open_storage(self.path, self.url, self.heartbeat)
        return optuna.load_study(
            study_name=self.name, storage=storage, sampler=_sampler(), pruner=_pruner()
        )


def _sampler() -> optuna.samplers.BaseSampler:
    # Together, since a good learning rate depends on the batch size; and each process
    # counts what the others are at as done badly, so that they look elsewhere.
    return optuna.samplers.TPESampler(
        n_startup_trials=12, multivariate=True, group=True, constant_liar=True
    )


def _pruner() -> optuna.pruners.BasePruner:
    # Reported at each tenth of a run. Half of it is waited for: while the learning rate
    # is high a run looks worse than it will end.
    return optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=5)


def create(place: Place, space: Space, release: str) -> optuna.Study:
    """Return the study at ``place``, made if need be, the chapter's setting first.

    Raises:
        SweepError: the study there has other settings to choose among, or was made on
            another release or with other versions.
    """
    facts = {
        "space": _plain(asdict(space)),
        "release": release,
        "held_out": HELD_OUT,
        "versions": {"mxnet": jobs.versions()["mxnet"]},
    }
    if place.url is not None:
        # Machines judge each other's signs of life by it.
        facts["heartbeat"] = place.heartbeat
    storage = open_storage(place.path, place.url, place.heartbeat)
    try:
        study = optuna.create_study(
            storage=storage, study_name=place.name, direction="maximize"
        )
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=place.name, storage=storage)
        # The one who made it may be about to write, or have died before it could.
        for _ in range(20):
            if "facts" in study.user_attrs:
                break
            time.sleep(0.1)
        found = study.user_attrs.get("facts", facts)
        if found != facts:
            raise SweepError(
                f"study {place.name}: found one made of {found}, expected {facts}: "
                "name another --study or --output"
            ) from None
    if "facts" not in study.user_attrs:
        study.set_user_attr("facts", facts)
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(space.chapters(), skip_if_exists=True)
    return place.open()


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON gives it back."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def work(
    name: str,
    place: Place,
    space: Space,
    num_trials: int,
    release: str,
    root: str | None,
) -> None:
    """Try settings until there are enough trials and none is queued."""
    study = place.open()
    data = jobs.load(root, release)
    lost: set[int] = set()

    def objective(trial: optuna.Trial) -> float:
        try:
            trial.set_user_attr("worker", name)
            return try_setting(trial, space, data)
        except UpdateFinishedTrialError:
            lost.add(trial.number)
            raise

    def optimize(**how: Any) -> None:
        lost.clear()
        try:
            study.optimize(objective, **how)
        except (UpdateFinishedTrialError, ValueError):
            # This machine was asleep, and taken for dead: its trial is another's now.
            if not lost:
                raise

    enough = optuna.study.MaxTrialsCallback(num_trials, states=ENDED)
    while len(study.get_trials(deepcopy=False, states=ENDED)) < num_trials:
        optimize(callbacks=[enough])
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        optimize(n_trials=1)


def try_setting(trial: optuna.Trial, space: Space, data: FashionMNIST) -> float:
    """Return the accuracy on the held-out images of one run.

    Its seed is the trial's number; of a setting that is tried again, the number of its
    first trial, so that it is the same run.

    Raises:
        TrialPruned: it diverged, or is not worth going on with.
    """
    frozen = trial.study.get_trials(deepcopy=False)[trial.number]
    settings = replace(space.suggest(trial), seed=first_number(frozen))
    trial.set_user_attr("settings", jobs.to_json(settings))
    run = Run(settings, hold_out(data, settings.batch_size))
    start = time.perf_counter()
    try:
        for result in run.epochs():
            tenth, rest = divmod(10 * result.epoch, settings.num_epochs)
            if rest:
                continue
            trial.report(result.test_accuracy, tenth)
            if tenth < 10 and trial.should_prune():
                raise optuna.TrialPruned
    except TrainingDiverged:
        trial.set_user_attr("diverged", True)
        raise optuna.TrialPruned from None
    finally:
        trial.set_user_attr("seconds", round(time.perf_counter() - start, 1))
    return result.test_accuracy
