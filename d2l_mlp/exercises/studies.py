"""Exercises 1 to 3: one setting is changed, all others stay the chapter's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..dataset.fashion_mnist import make_loaders
from ..runs import jobs
from ..runs.run import Run, Settings
from ..runs.sweep import Json


@dataclass(frozen=True)
class Case:
    """What is tried.

    Attributes:
        label: its value, as text.
        settings: fields of ``Settings`` that it changes.
        series: name of the line in a figure that the case belongs to.
    """

    label: str
    settings: dict[str, Any]
    series: str = ""


@dataclass(frozen=True)
class Study:
    """An exercise.

    Attributes:
        question: what is asked.
        axis: what ``Case.label`` is.
        name: a case as text, with ``{}`` for its label.
        cases: what is tried, from small to large within a series.
        series: what the cases' series differ in, if there are several.
    """

    question: str
    axis: str
    name: str
    cases: tuple[Case, ...]
    series: str = ""


WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0)
#: Initial weights of the chapter, and as deep nets need them.
SCALES: dict[str, float | str] = {"0.01": 0.01, "He's": "he"}

STUDIES = {
    1: Study(
        "What does the number of hidden units change?",
        "hidden units",
        "{} hidden units",
        tuple(Case(str(units), {"num_hiddens": (units,)}) for units in WIDTHS),
    ),
    2: Study(
        "What does one more hidden layer change, and two, and three?",
        "hidden layers of 256 units",
        "{} hidden layer(s)",
        tuple(
            Case(str(layers), {"num_hiddens": (256,) * layers, "scale": scale}, series)
            for series, scale in SCALES.items()
            for layers in (1, 2, 3, 4)
        ),
        "initial weights",
    ),
    3: Study(
        "What does the learning rate change?",
        "learning rate",
        "learning rate {}",
        tuple(Case(f"{lr:g}", {"lr": lr}) for lr in RATES),
    ),
}


def settings_of(case: Case, num_epochs: int, seed: int) -> Settings:
    """Return a run's settings: the chapter's, with the case's change."""
    base = Settings(num_epochs=num_epochs, seed=seed, hybridize=True)
    return replace(base, **case.settings)


def make_jobs(
    study: Study, num_epochs: int, seeds: Sequence[int], release: str
) -> list[Json]:
    """Return the jobs, one seed after the other, so that all cases grow together."""
    return [
        make_job(settings_of(case, num_epochs, seed), release)
        for seed in seeds
        for case in study.cases
    ]


def make_job(settings: Settings, release: str) -> Json:
    """Return the job of a run on the published split."""
    return {"settings": jobs.to_json(settings), "release": release}


def train(job: Json, root: str | None = None) -> Json:
    """Train as ``job`` says, with the data files in ``root``. See ``jobs.train``."""
    settings = Settings(**job["settings"])
    data = jobs.load(root, job["release"])
    return jobs.train(
        Run(settings, make_loaders(data, settings.batch_size)), timed=True
    )
