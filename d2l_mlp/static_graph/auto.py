"""A step that goes on without a graph where there can be none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from mxnet import nd

from ..chapter.step import Batches, Step
from ..dataset.loader import Part
from .graph import NotTraceable


class AutoStep(Step):
    """A graph's step while there can be one; after a warning, the chapter's."""

    def __init__(self, graph: Step, eager: Step) -> None:
        self.step, self.eager = graph, eager

    @property
    def lr(self) -> float | None:
        """Learning rate, None with a trainer."""
        return self.step.lr

    @lr.setter
    def lr(self, value: float | None) -> None:
        self.step.lr = self.eager.lr = value

    def train(self, part: Part) -> list[tuple[float, int]]:
        """Train."""
        trained = self._try(lambda step: step.train(part))
        return [(_number(loss_sum), int(_number(n))) for loss_sum, n in trained]

    def count(self, part: Part) -> list[int]:
        """Count."""
        return [int(_number(n)) for n in self._try(lambda step: step.count(part))]

    def feed(self, data_iter: Batches, num_images: int) -> Iterable[Part]:
        """Return the batches as the step at hand wants them."""
        return self.step.feed(data_iter, num_images)

    def prepare(self, part: Part) -> bool:
        """Prepare for such batches."""
        return self._try(lambda step: step.prepare(part))

    def pull(self) -> None:
        """Take over what the parameters hold now."""
        self.step.pull()

    def sync(self) -> None:
        """Bring what was learned into the parameters."""
        self.step.sync()

    def end(self) -> None:
        """Leave what the next training can use again."""
        self.step.end()

    def _try(self, take: Callable[[Step], Any]) -> Any:
        try:
            return take(self.step)
        except NotTraceable as error:
            warnings.warn(f"going on without a graph: {error}", stacklevel=5)
            self.step.sync()
            self.step = self.eager
            return take(self.step)


def _number(value: Any) -> float:
    return value.asscalar() if isinstance(value, nd.NDArray) else value
