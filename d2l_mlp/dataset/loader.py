"""Batches of images and labels, served from arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice

import numpy as np
from mxnet import nd

from .._checks import in_one_line
from .._values import flag, shown, whole_number
from .chunk import Chunk, check_arrays


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
        check_arrays(images, labels)
        if len(labels) and (labels.min() < 0 or labels.max() > 9):
            raise ValueError(
                f"labels: found {labels.min()} to {labels.max()}, expected 0 to 9"
            )
        self.images = images
        self.labels = labels.astype(np.int32)
        self.batch_size = whole_number("batch_size", batch_size)
        flag("shuffle", shuffle)
        self.shuffle = shuffle
        self.resize = None if resize is None else _check_size(resize)
        self.release = release
        self.part = _check_part(part, len(labels), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        """Start a new pass, in a new order if ``shuffle`` is set."""
        for batch in self.orders():
            yield self.take(batch)

    def orders(self) -> Iterator[np.ndarray]:
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
        for size, batches in groupby(self.orders(), len):
            while orders := list(islice(batches, max(1, num_images // max(1, size)))):
                yield Chunk(self, np.stack(orders))

    @property
    def gives_chunks(self) -> bool:
        """Whether chunks give what a pass over it gives."""
        # A subclass may have its own way to give batches.
        own = all(
            getattr(type(self), name) is getattr(BatchLoader, name)
            for name in ("__iter__", "take")
        )
        as_made = self.resize is None and self.labels.dtype == np.int32
        return own and as_made and self.images.flags.c_contiguous

    def take(self, batch: np.ndarray) -> tuple[nd.NDArray, nd.NDArray]:
        """Return X and y of the images that ``batch`` names, in new arrays."""
        # Far quicker than self.images[batch], which looks at each index first.
        images = self.images.take(batch, axis=0, mode="clip")
        if self.resize is not None:
            with in_one_line(f"resize: found {self.resize}, which MXNet cannot make"):
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


def _check_size(resize: int | tuple[int, int]) -> tuple[int, int]:
    sides = resize if isinstance(resize, (tuple, list)) else (resize, resize)
    if len(sides) != 2:
        raise ValueError(f"resize: found {resize}, expected a side or (width, height)")
    width, height = (whole_number("resize", side) for side in sides)
    return width, height


def _check_part(part: tuple[int, int], n: int, batch_size: int) -> tuple[int, int]:
    if not (isinstance(part, (tuple, list)) and len(part) == 2):
        raise ValueError(f"part: found {shown(part)}, expected (rank, workers)")
    rank = whole_number("part[0]", part[0], least=0)
    workers = whole_number("part[1]", part[1], least=rank + 1)
    last = n % batch_size or min(n, batch_size)
    if 0 < last < workers:
        raise ValueError(
            f"part: found {workers} workers for a last batch of {last} images (of {n}, "
            f"in batches of {batch_size}), expected at least one image for each: take "
            "another batch_size, or fewer workers"
        )
    return rank, workers
