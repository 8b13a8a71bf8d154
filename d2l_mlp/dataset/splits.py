"""Other ways to part the images into training and test than the published one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import _values
from .fashion_mnist import FashionMNIST


def resplit(data: FashionMNIST, seed: int) -> FashionMNIST:
    """Return a stratified random split of all images, as large as the given one.

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
    # A stream apart: the run itself is seeded with the same number.
    random = np.random.RandomState([seed, len(labels)])
    train, test = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        size = np.count_nonzero(data.train_labels == label)
        train.append(members[:size])
        test.append(members[size:])
    train_order, test_order = (
        random.permutation(np.concatenate(part)) for part in (train, test)
    )
    return replace(
        data,
        train_images=images[train_order],
        train_labels=labels[train_order],
        test_images=images[test_order],
        test_labels=labels[test_order],
    )
