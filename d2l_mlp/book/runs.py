"""One seed's run of an edition's model, as a job for ``sweep``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..dataset.fashion_mnist import make_loaders
from ..dataset.splits import resplit
from ..runs import jobs
from ..runs.run import Run, Settings
from ..runs.sweep import Json
from .editions import Edition
from .variants import AS_PUBLISHED, VARIANTS

#: How the images may be split: as published, or anew for each seed.
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
    """Return the job of one run of ``edition``.

    Editions of one model share their runs. A run keeps both ways of averaging, and is
    as long as the longest of these ``editions``.
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
        "settings": jobs.to_json(settings),
        "variant": variant,
        "split": split,
        "release": release,
    }


def train(job: Json, root: str | None = None) -> Json:
    """Train as ``job`` says. See ``jobs.train`` for what is returned."""
    settings = Settings(**job["settings"])
    data = jobs.load(root, job["release"])
    if job["split"] == RESPLIT:
        data = resplit(data, settings.seed)
    run = Run(settings, make_loaders(data, settings.batch_size))
    VARIANTS[job["variant"]].arrange(run)
    return jobs.train(run)
