"""What a search has found: its best settings, their test, and its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from ..runs import jobs
from ..runs.run import Settings
from ..runs.sweep import Json
from .studies import make_job
from .summary import mean_sd

#: Settings that the command line of ``book`` takes, each under its own name.
OPTIONS = (
    "num_hiddens",
    "lr",
    "batch_size",
    "num_epochs",
    "schedule",
    "scale",
    "dropout",
    "wd",
    "seed",
)


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        best: the five trials with the highest accuracy on the held-out images, best
            first.
        chosen: the first one's settings.
        states: number of trials by how they ended.
        minutes: computing time of all trials; an hour on two processors is 120.
        span: minutes from the first trial's start to the last one's end.
    """

    best: list[FrozenTrial]
    chosen: Settings
    states: dict[str, int]
    minutes: float
    span: float

    @property
    def command(self) -> str:
        """Return the command of the first final run; the others have other seeds."""
        return command_of(replace(self.chosen, seed=0))


def conclude(study: optuna.Study) -> Found:
    """Return what ``study`` has found so far.

    Raises:
        ValueError: no trial has been completed.
    """
    trials = study.trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        raise ValueError("trials: found none that was completed, expected at least one")
    best = sorted(complete, key=lambda trial: -(trial.value or 0.0))[:5]
    retried = {n for t in trials for n in t.system_attrs.get("retry_history", [])}
    names = [_state(trial, trial.number in retried) for trial in trials]
    starts = [t.datetime_start for t in trials if t.datetime_start]
    ends = [t.datetime_complete for t in trials if t.datetime_complete]
    return Found(
        best,
        settings_of(best[0]),
        {name: names.count(name) for name in dict.fromkeys(names)},
        sum(trial.user_attrs.get("seconds", 0.0) for trial in trials) / 60,
        (max(ends) - min(starts)).total_seconds() / 60,
    )


def _state(trial: FrozenTrial, retried: bool = False) -> str:
    if trial.user_attrs.get("diverged"):
        return "diverged"
    if trial.state == TrialState.FAIL:
        return "lost and tried again" if retried else "failed"
    return trial.state.name.lower()


def settings_of(trial: FrozenTrial) -> Settings:
    """Return a trial's settings, its seed included."""
    return Settings(**trial.user_attrs["settings"])


def describe(trial: FrozenTrial) -> str:
    """Return a trial as a line."""
    ended = trial.state == TrialState.COMPLETE
    result = f"{trial.value:.4f}" if ended else _state(trial)
    seconds = trial.user_attrs.get("seconds", 0.0)
    settings = replace(settings_of(trial), hybridize=False)
    return f"trial {trial.number}: {result} in {seconds:.0f} s, {settings}"


def make_final_jobs(chosen: Settings, seeds: Sequence[int], release: str) -> list[Json]:
    """Return the jobs of the chosen setting on all training images and the test set."""
    return [make_job(replace(chosen, seed=seed), release) for seed in seeds]


def final_accuracies(records: Sequence[Json]) -> np.ndarray:
    """Return each run's test accuracy after its last epoch, a diverged run's as 0.1."""
    return np.array(
        [
            0.1 if result["diverged"] else result["curves"]["test_accuracy"][-1]
            for result in (record["result"] for record in records)
        ]
    )


def command_of(settings: Settings) -> str:
    """Return the command that repeats a run of ``settings``."""
    default, parts = Settings(), ["python -m d2l_mlp book --fast"]
    for name in OPTIONS:
        value = getattr(settings, name)
        if value != getattr(default, name) or name == "seed":
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            parts.append(f"--{name.replace('_', '-')} {text}")
    return " ".join(parts)


def to_json(found: Found, accuracies: np.ndarray, facts: dict[str, Any]) -> Json:
    """Return the search's result as plain values for JSON."""
    return facts | {
        "states": found.states,
        "minutes": round(found.minutes, 1),
        "span_minutes": round(found.span, 1),
        "chosen": jobs.to_json(found.chosen),
        "validation_accuracy": found.best[0].value,
        "best": [
            {"number": t.number, "value": t.value, "settings": t.user_attrs["settings"]}
            for t in found.best
        ],
        "test_accuracies": accuracies.tolist(),
        "test_accuracy": mean_sd(accuracies, 4),
        "command": found.command,
    }
