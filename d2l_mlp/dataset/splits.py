"""Other splits of the images than the published one, stratified by class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import _values
from .fashion_mnist import FashionMNIST
from .loader import BatchLoader

#: Training images that are held out to choose a setting by.
HELD_OUT = 10_000
#: All searches hold out the same images.
SPLIT_SEED = 20170831


def resplit(data: FashionMNIST, seed: int) -> FashionMNIST:
    """Return a random split of all images, as large as the given one.

    Each class has as many training and test images as before.

    Args:
        data: both splits, which are pooled.
        seed: the same seed gives the same split; 0 to 2**32 - 1.

    Raises:
        ValueError: ``data`` is no ``FashionMNIST``, or ``seed`` out of its range.
    """
    _values.instance("data", data, FashionMNIST)
    _values.seed(seed, bits=32)
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    # A stream of its own: the run itself is seeded with the same number.
    random = np.random.RandomState([seed, len(labels)])
    counts = np.bincount(data.train_labels, minlength=10)
    train, test = map(random.permutation, _stratified(labels, counts, random))
    return replace(
        data,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


def hold_out(data: FashionMNIST, batch_size: int) -> tuple[BatchLoader, BatchLoader]:
    """Return training and validation batches, both of the training images.

    ``HELD_OUT`` of them, as many of each class, are for validation, in batches of 1000.
    The test images are not looked at.
    """
    images, labels = data.train_images, data.train_labels
    counts = np.rint(HELD_OUT / len(labels) * np.bincount(labels)).astype(int)
    held, _ = _stratified(labels, counts, np.random.RandomState(SPLIT_SEED))
    kept = np.setdiff1d(np.arange(len(labels)), held)
    return (
        BatchLoader(images[kept], labels[kept], batch_size, shuffle=True),
        BatchLoader(images[held], labels[held], 1000),
    )


def _stratified(
    labels: np.ndarray, counts: np.ndarray, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of random images, so many of each class, and of the others."""
    chosen, others = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: counts[label]])
        others.append(members[counts[label] :])
    return np.concatenate(chosen), np.concatenate(others)
