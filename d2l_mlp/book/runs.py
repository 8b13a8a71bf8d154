"""One seed's run of an edition's model, as a job for ``sweep``."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache

import mxnet
import numpy as np

from ..data import FashionMNIST, load_fashion_mnist, make_loaders
from ..run import Run, Settings
from ..splits import resplit
from ..sweep import Json
from ..training import TrainingDiverged
from .editions import Edition
from .variants import AS_PUBLISHED, VARIANTS

#: How the images may be parted: as published, or anew for each seed.
OFFICIAL, RESPLIT = "official", "resplit"
SPLITS = (OFFICIAL, RESPLIT)


def make_job(
    edition: Edition,
    editions: Sequence[Edition],
    seed: int,
    split: str,
    release: str,
    variant: str = AS_PUBLISHED,
    hybridize: bool = True,
) -> Json:
    """Return the job whose record tells of ``edition``.

    Editions of one model share it: both ways of averaging are kept, and its epochs are
    those of the longest among ``editions``.
    """
    lengths = [len(other.epochs) for other in editions if other.model == edition.model]
    settings = Settings(
        num_hiddens=edition.num_hiddens,
        lr=edition.lr,
        batch_size=edition.batch_size,
        num_epochs=max([len(edition.epochs), *lengths]),
        seed=seed,
        hybridize=hybridize,
    )
    settings = replace(settings, **VARIANTS[variant].settings)
    return {
        "settings": _to_json(settings),
        "variant": variant,
        "split": split,
        "release": release,
    }


def _to_json(settings: Settings) -> Json:
    """Leave out what is as by default, so that a new setting changes no old job."""
    default = asdict(Settings())
    kept = ("num_hiddens", "lr", "batch_size", "num_epochs", "seed")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(settings).items()
        if name in kept or value != default[name]
    }


def train(job: Json, root: str | None = None) -> Json:
    """Train as ``job`` says, and return its curves; a diverged run's end early.

    The columns are lists, a number an epoch: ``loss_batch`` and ``accuracy_batch``,
    ``loss_sample`` and ``accuracy_sample``, averaged in both ways, and
    ``test_accuracy``.
    """
    settings = Settings(
        **job["settings"] | {"num_hiddens": tuple(job["settings"]["num_hiddens"])}
    )
    data = _load(root, job["release"])
    if job["split"] == RESPLIT:
        data = resplit(data, settings.seed)
    run = Run(settings, make_loaders(data, settings.batch_size))
    VARIANTS[job["variant"]].arrange(run)
    columns: dict[str, list[float]] = {}
    diverged = False
    try:
        for result in run.epochs():
            row = {"test_accuracy": result.test_accuracy}
            for metric in ("batch", "sample"):
                loss, accuracy = result.averaged(metric)
                row |= {f"loss_{metric}": loss, f"accuracy_{metric}": accuracy}
            for name, value in row.items():
                columns.setdefault(name, []).append(round(value, 6))
    except TrainingDiverged:
        diverged = True
    return {
        "curves": columns,
        "diverged": diverged,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions that a run stands on, by name."""
    return {
        "mxnet": mxnet.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@cache
def _load(root: str | None, release: str) -> FashionMNIST:
    return load_fashion_mnist(root, release)
