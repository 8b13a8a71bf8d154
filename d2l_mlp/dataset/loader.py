"""Batches of images and labels, served from arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import groupby, islice
from typing import Union

import numpy as np
from mxnet import nd

from .. import _checks
from .._values import flag, whole_number

#: One batch or several: X and y, or those of a loader that follow each other.
Part = Union[tuple[nd.NDArray, nd.NDArray], "Chunk"]


class BatchLoader:
    """Batches of images and labels from arrays in memory, re-iterable.

    Each pass gives ``(X, y)`` with X float32 ``(batch, 1, height, width)`` in [0, 1]
    and y int32 ``(batch,)``; the last batch may be smaller. The bits and, under the
    same ``numpy.random.seed``, the order are those of Gluon's
    ``DataLoader(dataset.transform_first(ToTensor()), batch_size, shuffle)``.

    Args:
        images: uint8 ``(n, height, width, 1)``.
        labels: whole numbers in 0..9, ``(n,)``.
        batch_size: images a batch, at least 1.
        shuffle: draw a new order from ``numpy.random`` at each pass.
        resize: side in pixels, or ``(width, height)``, to scale the images to.
        release: id of the release that the images come from, if any.
        part: ``(rank, workers)``; of each batch only the share of that worker is given,
            under the same seed a share of the same batch for all.

    Raises:
        ValueError: a wrong shape, dtype, label, batch size or size in pixels; or a
            batch with fewer images than workers.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        shuffle: bool = False,
        resize: int | tuple[int, int] | None = None,
        release: str | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        _checks.arrays(images, labels)
        if len(labels) and (labels.min() < 0 or labels.max() > 9):
            raise ValueError(
                f"labels: found {labels.min()} to {labels.max()}, expected 0 to 9"
            )
        self.images = images
        self.labels = labels.astype(np.int32)
        self.batch_size = whole_number("batch_size", batch_size)
        flag("shuffle", shuffle)
        self.shuffle = shuffle
        self.resize = None if resize is None else _checks.size(resize)
        self.release = release
        self.part = _checks.part(part, len(labels), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Start a new pass, in a new order if ``shuffle`` is set."""
        for batch in self.batch_indices():
            yield self.gather(batch)

    def batch_indices(self) -> Iterator[np.ndarray]:
        """Start a new pass, and yield which images each batch has, int64 ``(batch,)``.

        Every way to give batches starts here.
        """
        order = np.arange(len(self.labels))
        if self.shuffle:
            # Gluon's RandomSampler draws its order from the same generator.
            np.random.shuffle(order)
        for start in range(0, len(order), self.batch_size):
            yield self._share(order[start : start + self.batch_size])

    def chunks(self, num_images: int) -> Iterator[Chunk]:
        """Start a new pass in chunks of up to ``num_images``, at least of one batch.

        Only where it ``gives_chunks``.
        """
        for size, batches in groupby(self.batch_indices(), len):
            while indices := list(islice(batches, max(1, num_images // max(1, size)))):
                yield Chunk(self, np.stack(indices))

    @property
    def gives_chunks(self) -> bool:
        """Whether chunks give what a pass over it gives."""
        # A subclass may have its own way to give batches.
        own = all(
            getattr(type(self), name) is getattr(BatchLoader, name)
            for name in ("__iter__", "gather")
        )
        as_made = self.resize is None and self.labels.dtype == np.int32
        return own and as_made and self.images.flags.c_contiguous

    def gather(self, batch: np.ndarray) -> tuple[nd.NDArray, nd.NDArray]:
        """Return X and y of the images that ``batch`` names, in new arrays."""
        # Far quicker than self.images[batch], which looks at each index first.
        images = self.images.take(batch, axis=0, mode="clip")
        if self.resize is not None:
            with _checks.in_one_line(
                f"resize: found {self.resize}, which MXNet cannot make"
            ):
                images = nd.array(images, dtype="uint8")
                images = nd.image.resize(images, self.resize).asnumpy()
        height, width = images.shape[1:3]
        images = images.reshape(len(batch), 1, height, width)
        # Divided per batch: 47 MB of bytes stay in memory, not 188 MB of floats.
        X = np.divide(images, np.float32(255), dtype=np.float32)
        return nd.from_numpy(X), nd.from_numpy(self.labels[batch])

    def _share(self, batch: np.ndarray) -> np.ndarray:
        rank, workers = self.part
        return batch[len(batch) * rank // workers : len(batch) * (rank + 1) // workers]


class Chunk:
    """Batches of one size that follow each other in a pass of a loader.

    Attributes:
        images: the loader's, uint8 ``(n, pixels)`` in one piece.
        labels: int32 ``(n,)``.
        indices: int64 ``(batches, batch)``: which of them each batch has.
        shape: of a batch's X.

    Raises:
        ValueError: the loader has other arrays now than it takes when it is made, or
            asks for images that there are not.
    """

    def __init__(self, loader: BatchLoader, indices: np.ndarray) -> None:
        _checks.arrays(loader.images, loader.labels)
        n, height, width, _ = loader.images.shape
        # Compiled code would read whatever lies there.
        if indices.size and (indices.min() < 0 or indices.max() >= n):
            raise ValueError(
                f"batch_indices: found {indices.min()} to {indices.max()}, "
                f"expected 0 to {n - 1}"
            )
        self._loader = loader
        self.images = loader.images.reshape(n, height * width)
        self.labels = np.ascontiguousarray(loader.labels, np.int32).view()
        self.indices = np.ascontiguousarray(indices, np.int64)
        # Whether they can be written to or not, there is one kind to compile for.
        self.images.flags.writeable = self.labels.flags.writeable = False
        self.shape = indices.shape[1], 1, height, width

    def write(self, batch: np.ndarray, X: np.ndarray, y: np.ndarray) -> None:
        """Write the images and labels that ``batch`` names into ``X`` and ``y``."""
        images = self.images.take(batch, axis=0, mode="clip")
        np.divide(images.reshape(X.shape), np.float32(255), out=X)
        self.labels.take(batch, out=y, mode="clip")

    def pairs(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Yield the X and y of each batch, in new arrays."""
        return map(self._loader.gather, self.indices)

    def num_fitting(self, classes: int) -> int:
        """Return how many batches come before one with labels beyond ``classes``."""
        labels = self.labels.take(self.indices)
        beyond = ((labels < 0) | (labels >= classes)).any(axis=1)
        return int(beyond.argmax()) if beyond.any() else len(self)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.indices)

    def singles(self) -> Iterator[Chunk]:
        """Yield each batch, as a chunk of one."""
        for i in range(len(self)):
            one = copy(self)
            one.indices = self.indices[i : i + 1]
            yield one


def pairs(part: Part) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
    """Yield X and y of each batch that ``part`` has."""
    return part.pairs() if isinstance(part, Chunk) else iter([part])
