"""Records as ``compare`` keeps them, drawn at random."""

from d2l_mlp.book import load_editions
from d2l_mlp.book.runs import OFFICIAL, make_job
from d2l_mlp.book.variants import AS_PUBLISHED

import numpy as np

RELEASE = "2017-08-31"


def make_record(edition, seed, split=OFFICIAL, shift=0.0, variant=AS_PUBLISHED):
    """Draw a run around the edition's printed curve, ``shift`` times 0.01 above it."""
    editions = list(load_editions().values())
    job = make_job(edition, editions, seed, split, RELEASE, variant)
    random = np.random.RandomState(seed)
    length = job["settings"]["num_epochs"]
    book = np.array(edition.epochs)
    book = np.concatenate([book, np.repeat(book[-1:], length - len(book), axis=0)])
    curve = book + 0.01 * (shift + random.standard_normal(book.shape))
    columns = dict(zip(("loss", "accuracy", "test_accuracy"), curve.T, strict=True))
    curves = {"test_accuracy": columns["test_accuracy"].tolist()}
    for metric in ("batch", "sample"):
        # So that a test can tell which of the two was taken.
        raised = 0.0 if metric == edition.train_metric else 1.0
        curves[f"loss_{metric}"] = (columns["loss"] + raised).tolist()
        curves[f"accuracy_{metric}"] = (columns["accuracy"] + raised).tolist()
    return {"job": job, "result": {"curves": curves, "diverged": False}}
