"""Splits are stratified, disjoint, complete and reproducible."""

from dataclasses import replace

from d2l_mlp.dataset.splits import HELD_OUT, hold_out, resplit

import numpy as np
from hypothesis import given
from hypothesis import strategies as st


def numbered(fashion_mnist, train_labels, test_labels):
    """Return data whose images are their own numbers, training first."""
    numbers = np.arange(len(train_labels) + len(test_labels), dtype=np.int64)
    n = len(train_labels)
    return replace(
        fashion_mnist,
        train_images=numbers[:n],
        train_labels=np.asarray(train_labels),
        test_images=numbers[n:],
        test_labels=np.asarray(test_labels),
    )


labels = st.lists(st.integers(0, 9), min_size=1, max_size=60)


@given(labels, labels, st.integers(0, 2**32 - 1))
def test_every_image_is_on_one_side_with_its_label(fashion_mnist, train, test, seed):
    data = numbered(fashion_mnist, train, test)
    found = resplit(data, seed)
    pooled = np.array(train + test)
    images = np.concatenate([found.train_images, found.test_images])
    assert sorted(images) == list(range(len(pooled)))
    np.testing.assert_array_equal(pooled[found.train_images], found.train_labels)
    np.testing.assert_array_equal(pooled[found.test_images], found.test_labels)
    for side in ("train_labels", "test_labels"):
        counts = [np.bincount(getattr(d, side), minlength=10) for d in (found, data)]
        np.testing.assert_array_equal(*counts)
    again = resplit(data, seed)
    np.testing.assert_array_equal(found.train_images, again.train_images)
    np.testing.assert_array_equal(found.test_images, again.test_images)


def test_another_seed_is_another_split_of_the_real_images(fashion_mnist):
    first, second = resplit(fashion_mnist, 0), resplit(fashion_mnist, 1)
    for split in (first, second):
        assert split.train_images.shape == (60000, 28, 28, 1)
        assert (np.bincount(split.train_labels) == 6000).all()
        assert (np.bincount(split.test_labels) == 1000).all()
        assert split.release == fashion_mnist.release
    assert (first.train_images != second.train_images).any()


def test_a_seventh_of_the_images_changes_sides(fashion_mnist):
    n = len(fashion_mnist.train_labels)
    data = numbered(
        fashion_mnist, fashion_mnist.train_labels, fashion_mnist.test_labels
    )
    tests = [set(resplit(data, seed).test_images) for seed in range(4)]
    for test in tests:
        stayed = np.mean(np.array(list(test)) >= n)
        assert abs(stayed - 1 / 7) < 0.015
    # Another seed parts them anew, not only in another order.
    for test in tests[1:]:
        assert abs(len(test & tests[0]) / len(test) - 1 / 7) < 0.015


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
