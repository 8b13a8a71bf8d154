"""What the training loop asks of a step, and how batches and seeds come to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import mxnet
import numpy as np
from mxnet import nd

from .. import _checks, _values
from ..dataset.loader import Chunk, Part
from .results import BatchResult

Batches = Iterable[tuple[nd.NDArray, nd.NDArray]]
#: A constant, or a function of the number of updates so far.
LearningRate = float | Callable[[int], float]
#: How many images a step may take at once, in whole batches. To return to Python after
#: every batch costs a static graph 6 % of an epoch; after every 32 batches, 0.5 %.
IMAGES_AT_ONCE = 8192


class Step(ABC):
    """A way to train on batches, and to count right answers.

    Attributes:
        lr: learning rate, None with a trainer; may be changed between batches.
    """

    lr: float | None

    @abstractmethod
    def train(self, part: Part) -> list[tuple[Any, Any]]:
        """Train on each batch; return its summed loss and number of right answers."""

    @abstractmethod
    def count(self, part: Part) -> list[Any]:
        """Return each batch's number of right answers, without training."""

    def feed(self, data_iter: Batches, num_images: int) -> Iterable[Part]:
        """Return the batches of ``data_iter``, up to ``num_images`` at a time."""
        return data_iter

    def prepare(self, part: Part) -> bool:
        """Prepare for such batches; return whether the net may draw random numbers."""
        return True

    def pull(self) -> None:  # noqa: B027  # there is nothing to do by default
        """Take over what the parameters hold now."""

    def sync(self) -> None:  # noqa: B027
        """Bring what was learned into the parameters."""

    def end(self) -> None:  # noqa: B027
        """Leave what the next training can use again."""


@dataclass(frozen=True)
class Options:
    """How to train, beyond the book's arguments.

    Attributes:
        make_step: makes the step, from the arguments of ``TrainStep``, the default.
        wd: weight decay, see ``sgd``; not with a trainer.
        train_metric: ``"sample"`` averages loss and accuracy over the samples;
            ``"batch"`` averages the batches' means, as gluonbook before 0.8.9 did.
        on_batch: is given each batch's result after its update; it makes the loop wait
            for the batch. What it raises ends the training.
        seed: makes random numbers in the net, such as dropout's, depend only on it, the
            epoch and the batch; None leaves MXNet's generator as it is.
        first_epoch: where a resumed training goes on.
        num_updates: how many there were before it.
        reduce: where several workers each see a share of every batch: is given an
            epoch's sums over this share, float64, and returns those over all.
    """

    make_step: Callable[..., Step] | None = None
    wd: float = 0.0
    train_metric: str = "sample"
    on_batch: Callable[[BatchResult], None] | None = None
    seed: int | None = None
    first_epoch: int = 1
    num_updates: int = 0
    reduce: Callable[[np.ndarray], np.ndarray] | None = None


#: The book's way to train.
BY_THE_BOOK = Options()


def feed(
    step: Step,
    data_iter: Batches,
    seed: int | None,
    epoch: int,
    one_by_one: bool = False,
) -> Iterator[tuple[Part, list[int]]]:
    """Yield a batch, or several at once, and the size of each.

    With a ``seed``, MXNet's random numbers are seeded where batches of another shape
    begin, once the step is ready for them. To trace a graph draws random numbers too,
    and a resumed run traces in another epoch than the run that it goes on with.

    Args:
        step: what takes the batches.
        data_iter: where they come from.
        seed: makes, with the epoch and the batch, what MXNet is seeded with; or None.
        epoch: counted from 1.
        one_by_one: whether to stop after each batch, even where several could be taken.

    Raises:
        ValueError: a batch is no pair of NDArrays that fit each other.
    """
    last, batch = None, 0
    for part in step.feed(data_iter, 1 if one_by_one else IMAGES_AT_ONCE):
        if isinstance(part, Chunk):
            kind: Any = part.shape
            sizes = [part.shape[0]] * len(part)
        else:
            part = X, y = _checks.batch(part)
            kind, sizes = (X.shape, X.dtype, y.dtype), [y.size]
        if seed is not None and kind != last:
            last = kind
            if step.prepare(part):
                mixed = np.random.SeedSequence([seed, epoch, batch])
                # MXNet takes an int32.
                mxnet.random.seed(int(mixed.generate_state(1)[0] >> 1))
        batch += len(sizes)
        yield part, sizes


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and MXNet's random numbers.

    NumPy's too, since Gluon shuffles with them: ``mx.random.seed`` is not enough.

    Args:
        seed: 0 to 2**31 - 1.

    Raises:
        ValueError: ``seed`` is out of that range.
    """
    from gluoncv.utils import random

    random.seed(_values.seed(seed))
