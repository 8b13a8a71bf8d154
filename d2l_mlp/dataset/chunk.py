"""Batches that follow each other in a loader's pass, to be taken at once."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Union

import numpy as np
from mxnet import nd

from .._values import instance

if TYPE_CHECKING:
    from .loader import BatchLoader

#: One batch or several: X and y, or those of a loader that follow each other.
Part = Union[tuple[nd.NDArray, nd.NDArray], "Chunk"]


class Chunk:
    """Batches of one size that follow each other in a pass of a loader.

    Attributes:
        images: the loader's, uint8 ``(n, pixels)`` in one piece.
        labels: int32 ``(n,)``.
        orders: int64 ``(batches, batch)``: which of them each batch has.
        shape: of a batch's X.

    Raises:
        ValueError: the loader has other arrays now than it takes when it is made, or
            asks for images that there are not.
    """

    def __init__(self, loader: BatchLoader, orders: np.ndarray) -> None:
        check_arrays(loader.images, loader.labels)
        n, height, width, _ = loader.images.shape
        # Compiled code would read whatever lies there.
        if orders.size and (orders.min() < 0 or orders.max() >= n):
            raise ValueError(
                f"orders: found {orders.min()} to {orders.max()}, expected 0 to {n - 1}"
            )
        self._loader = loader
        self.images = loader.images.reshape(n, height * width)
        self.labels = np.ascontiguousarray(loader.labels, np.int32).view()
        self.orders = np.ascontiguousarray(orders, np.int64)
        # Whether they can be written to or not, there is one kind to compile for.
        self.images.flags.writeable = self.labels.flags.writeable = False
        self.shape = orders.shape[1], 1, height, width

    def write(self, batch: np.ndarray, X: np.ndarray, y: np.ndarray) -> None:
        """Write the images and labels that ``batch`` names into ``X`` and ``y``."""
        images = self.images.take(batch, axis=0, mode="clip")
        np.divide(images.reshape(X.shape), np.float32(255), out=X)
        self.labels.take(batch, out=y, mode="clip")

    def pairs(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Yield the X and y of each batch, in new arrays."""
        return map(self._loader.take, self.orders)

    def num_fitting(self, classes: int) -> int:
        """Return how many batches come before one with labels beyond ``classes``."""
        labels = self.labels.take(self.orders)
        beyond = ((labels < 0) | (labels >= classes)).any(axis=1)
        return int(beyond.argmax()) if beyond.any() else len(self)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.orders)

    def singles(self) -> Iterator[Chunk]:
        """Yield each batch, as a chunk of one."""
        for i in range(len(self)):
            one = copy(self)
            one.orders = self.orders[i : i + 1]
            yield one


def pairs(part: Part) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
    """Yield X and y of each batch that ``part`` has."""
    return part.pairs() if isinstance(part, Chunk) else iter([part])


def check_arrays(images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse arrays of another kind or shape than a loader has."""
    for name, array in (("images", images), ("labels", labels)):
        instance(name, array, np.ndarray)
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 1 or 0 in shape[1:]:
        raise ValueError(
            f"images: found {images.dtype} {shape}, "
            "expected uint8 (n, height, width, 1)"
        )
    if labels.shape != shape[:1]:
        raise ValueError(f"labels: found shape {labels.shape}, expected {shape[:1]}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels: found {labels.dtype}, expected whole numbers")
