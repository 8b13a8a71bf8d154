"""Ablations: how the book's run may have differed from ours, one change at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mxnet import nd

from ..chapter.model import make_net
from ..dataset.fashion_mnist import BatchLoader
from ..runs.run import Run


@dataclass(frozen=True)
class Variant:
    """A change of the book's run.

    Attributes:
        title: what it is, in a table.
        settings: fields of ``Settings`` that it changes.
        arrange: function that changes the run before it starts.
    """

    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    arrange: Callable[[Run], None] = lambda run: None


class WithoutSmallBatch(BatchLoader):
    """Leaves out a last batch that is smaller than the others."""

    def batch_indices(self) -> Iterator[np.ndarray]:
        """Start a new pass."""
        return (
            batch for batch in super().batch_indices() if len(batch) == self.batch_size
        )


def _never_shuffled(run: Run) -> None:
    run.train_iter.shuffle = False


def _shuffled_once(run: Run) -> None:
    old = run.train_iter
    order = np.random.permutation(len(old.labels))
    run.train_iter = BatchLoader(
        old.images[order], old.labels[order], old.batch_size, release=old.release
    )


def _without_small_batch(run: Run) -> None:
    old = run.train_iter
    run.train_iter = WithoutSmallBatch(
        old.images, old.labels, old.batch_size, old.shuffle, release=old.release
    )


def _divided_by_own_size(run: Run) -> None:
    """Divide a smaller batch's gradient by its own size; the loss stays as it is."""
    loss, batch_size = run.loss, run.settings.batch_size

    def raised(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
        value, factor = loss(y_hat, y), batch_size / y.size
        return factor * value - (factor - 1) * nd.BlockGrad(value)

    run.loss = raised


def _half_precision_images(run: Run) -> None:
    net = run.net
    # Not astype, which leaves no trace of its dtype in a graph.
    run.net = lambda X: net(nd.Cast(nd.Cast(X, dtype="float16"), dtype="float32"))


def _double_precision(run: Run) -> None:
    run.params = [param.astype("float64") for param in run.params]
    for param in run.params:
        param.attach_grad()
    net = make_net(run.params)
    run.net = lambda X: net(nd.Cast(X, dtype="float64"))


AS_PUBLISHED = "as published"

#: By name, in the order of the table.
VARIANTS: dict[str, Variant] = {
    AS_PUBLISHED: Variant("the book's settings"),
    "never shuffled": Variant("no shuffling at all", arrange=_never_shuffled),
    "shuffled once": Variant("one order for all epochs", arrange=_shuffled_once),
    "small batch dropped": Variant(
        "the last batch, of 96 images, dropped", arrange=_without_small_batch
    ),
    "divided by own size": Variant(
        "the last batch's gradient divided by 96, not 256", arrange=_divided_by_own_size
    ),
    "lr 0.4": Variant("learning rate 0.4", {"lr": 0.4}),
    "lr 0.6": Variant("learning rate 0.6", {"lr": 0.6}),
    "scale 0.001": Variant("initial weights of scale 0.001", {"scale": 0.001}),
    "scale 0.1": Variant("initial weights of scale 0.1", {"scale": 0.1}),
    "float16 images": Variant(
        "images rounded to float16", arrange=_half_precision_images
    ),
    "float64": Variant("everything in float64", arrange=_double_precision),
}
