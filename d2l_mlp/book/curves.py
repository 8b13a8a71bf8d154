"""The curves that an edition would have printed of our runs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..runs.sweep import Json
from . import statistics
from .editions import Edition
from .variants import AS_PUBLISHED, VARIANTS


def curves(
    records: Iterable[Json],
    edition: Edition,
    split: str,
    variant: str = AS_PUBLISHED,
    train_metric: str | None = None,
) -> np.ndarray:
    """Return our runs of ``edition`` as it would have printed them, by seed.

    Returns:
        ``(runs, epochs, 3)``; only whole runs of the edition's model count.
    """
    metric, length = train_metric or edition.train_metric, len(edition.epochs)
    columns = (f"loss_{metric}", f"accuracy_{metric}", "test_accuracy")
    found = {}
    for record in records:
        job, result = record["job"], record["result"]
        if not is_of(job, edition, split, variant):
            continue
        if len(result["curves"]["test_accuracy"]) >= length:
            rows = [result["curves"][column][:length] for column in columns]
            found[job["settings"]["seed"]] = np.array(rows).T
    runs = [found[seed] for seed in sorted(found)]
    return statistics.as_printed(np.array(runs).reshape(-1, length, len(columns)))


def is_of(job: Json, edition: Edition, split: str, variant: str) -> bool:
    """Tell whether a job is the edition's model with one thing changed."""
    settings = job["settings"]
    lr = VARIANTS[variant].settings.get("lr", edition.lr)
    found = tuple(settings["num_hiddens"]), settings["batch_size"], settings["lr"]
    expected = edition.num_hiddens, edition.batch_size, lr
    return (job["split"], job["variant"], found) == (split, variant, expected)
