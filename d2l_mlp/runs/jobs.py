"""A run as a job for ``sweep``: its settings as JSON, and what comes of it."""

from __future__ import annotations

import platform
from dataclasses import asdict
from functools import cache

import mxnet
import numpy as np

from ..chapter.results import TrainingDiverged
from ..dataset.fashion_mnist import FashionMNIST, load_fashion_mnist
from .run import Run, Settings
from .sweep import Json


def to_json(settings: Settings) -> Json:
    """Return the arguments of ``Settings`` for the same settings.

    Defaults are left out, so that a new setting changes no old job.
    """
    default = asdict(Settings())
    kept = ("num_hiddens", "lr", "batch_size", "num_epochs", "seed")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(settings).items()
        if name in kept or value != default[name]
    }


def train(run: Run, timed: bool = False) -> Json:
    """Train, and return the run's curves; a diverged run's end early.

    The columns are lists, a number an epoch: ``loss_batch`` and ``accuracy_batch``,
    ``loss_sample`` and ``accuracy_sample``, averaged in both ways, and
    ``test_accuracy``; if ``timed``, which no two runs agree in, ``seconds`` as well.
    """
    columns: dict[str, list[float]] = {}
    diverged = False
    try:
        for result in run.epochs():
            row = {"test_accuracy": result.test_accuracy}
            if timed:
                row["seconds"] = result.seconds
            for metric in ("batch", "sample"):
                loss, accuracy = result.averaged(metric)
                row |= {f"loss_{metric}": loss, f"accuracy_{metric}": accuracy}
            for name, value in row.items():
                columns.setdefault(name, []).append(round(value, 6))
    except TrainingDiverged:
        diverged = True
    return {"curves": columns, "diverged": diverged, "versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions that a run stands on, by name."""
    return {
        "mxnet": mxnet.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@cache
def load(root: str | None, release: str) -> FashionMNIST:
    """Return the data, loaded once in each worker."""
    return load_fashion_mnist(root, release)
