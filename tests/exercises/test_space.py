"""The held-out images are of the training set, stratified, and always the same."""

from dataclasses import replace

from d2l_mlp.exercises.space import HELD_OUT, hold_out

import numpy as np


def test_held_out_images_are_apart_and_stratified(fashion_mnist):
    train_iter, valid_iter = hold_out(fashion_mnist, 128)
    assert len(valid_iter.labels) == HELD_OUT == 10_000
    assert len(train_iter.labels) == 50_000
    assert train_iter.shuffle and not valid_iter.shuffle
    assert np.bincount(valid_iter.labels).tolist() == [1000] * 10
    assert np.bincount(train_iter.labels).tolist() == [5000] * 10
    sums = [
        np.sort(images.reshape(len(images), -1).astype("int64") @ np.arange(784) ** 2)
        for images in (
            np.concatenate([train_iter.images, valid_iter.images]),
            fashion_mnist.train_images,
        )
    ]
    np.testing.assert_array_equal(*sums)


def test_the_split_is_always_the_same_and_the_test_set_is_not_read(fashion_mnist):
    blind = replace(fashion_mnist, test_images=None, test_labels=None)
    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    first, second = (hold_out(data, 64)[1] for data in (fashion_mnist, blind))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
