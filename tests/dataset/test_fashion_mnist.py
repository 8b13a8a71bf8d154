from d2l_mlp.dataset.fashion_mnist import (
    BatchLoader,
    get_fashion_mnist_labels,
    load_data_fashion_mnist,
)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet import nd
from mxnet.gluon.data import ArrayDataset, DataLoader
from mxnet.gluon.data.vision import datasets, transforms


@pytest.fixture(scope="module")
def gluon_train(folder, tmp_path_factory):
    """Gluon's own data set class on our files, which have other sums than it wants."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            datasets,
            "download",
            lambda url, path, sha1_hash: folder / url.rpartition("/")[2],
        )
        return datasets.FashionMNIST(tmp_path_factory.mktemp("gluon"))


def images_of(n, height=2, width=3):
    """Return images that differ from each other: image i is full of i."""
    images = np.zeros((n, height, width, 1), np.uint8)
    images += np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    return images


def same_batches(ours, gluons):
    """Compare two passes bit for bit; return the number of images."""
    seen = 0
    for (X, y), (gluon_X, gluon_y) in zip(ours, gluons, strict=True):
        assert X.dtype == gluon_X.dtype and y.dtype == gluon_y.dtype
        assert X.shape == gluon_X.shape and y.shape == gluon_y.shape
        assert X.asnumpy().tobytes() == gluon_X.asnumpy().tobytes()
        assert y.asnumpy().tobytes() == gluon_y.asnumpy().tobytes()
        seen += len(y)
    return seen


def test_batches_of_the_chapter(fashion_mnist, folder):
    train_iter, test_iter = load_data_fashion_mnist(256, root=folder)
    for batches, n in ((train_iter, 60000), (test_iter, 10000)):
        sizes = []
        for X, y in batches:
            assert isinstance(X, nd.NDArray) and isinstance(y, nd.NDArray)
            assert X.dtype == np.float32 and y.dtype == np.int32
            assert X.shape == (len(y), 1, 28, 28) and y.shape == (len(y),)
            assert X.min().asscalar() == 0 and X.max().asscalar() == 1
            sizes.append(len(y))
        assert sizes == [256] * (n // 256) + [n % 256]
        assert len(batches) == len(sizes)
        assert batches.release == fashion_mnist.release


def test_training_order_is_new_and_test_order_stays(folder):
    train_iter, test_iter = load_data_fashion_mnist(10000, root=folder)
    first, second = (
        np.concatenate([y.asnumpy() for _, y in train_iter]) for _ in range(2)
    )
    assert (first != second).any()
    assert np.bincount(first).tolist() == np.bincount(second).tolist() == [6000] * 10
    first, second = ([X.asnumpy() for X, _ in test_iter] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("resize", [None, 32], ids=["plain", "resized"])
def test_two_epochs_are_gluons_bit_for_bit(folder, gluon_train, resize):
    steps = [transforms.Resize(resize)] if resize else []
    transform = transforms.Compose([*steps, transforms.ToTensor()])
    dataset = gluon_train.transform_first(transform)
    gluon_iter = DataLoader(dataset, 256, shuffle=True)
    train_iter, _ = load_data_fashion_mnist(256, resize, root=folder)
    # Each side goes on from its own state of the one generator, as it would alone.
    ours = theirs = np.random.RandomState(7).get_state()
    for _ in range(2):
        np.random.set_state(ours)
        our_pass = list(train_iter)
        ours = np.random.get_state()
        np.random.set_state(theirs)
        assert same_batches(our_pass, gluon_iter) == 60000
        theirs = np.random.get_state()


@pytest.mark.parametrize("resize", [1, 27, 28, 29, 57, (20, 40), (40, 20), [28, 14]])
def test_resized_as_gluon_does(fashion_mnist, resize):
    images, labels = fashion_mnist.test_images[:300], fashion_mnist.test_labels[:300]
    size = tuple(resize) if isinstance(resize, list) else resize
    transform = transforms.Compose([transforms.Resize(size), transforms.ToTensor()])
    dataset = ArrayDataset(nd.array(images, dtype="uint8"), labels)
    gluons = DataLoader(dataset.transform_first(transform), 128)
    ours = BatchLoader(images, labels, 128, resize=resize)
    assert same_batches(ours, gluons) == 300
    X, _ = next(iter(ours))
    width, height = (resize, resize) if isinstance(resize, int) else resize
    assert X.shape == (128, 1, height, width)


@given(
    labels=st.lists(st.integers(0, 9), max_size=50),
    batch_size=st.integers(1, 60),
    shuffle=st.booleans(),
)
def test_each_image_once_a_pass_with_its_label(labels, batch_size, shuffle):
    n = len(labels)
    batches = BatchLoader(images_of(n), np.array(labels, int), batch_size, shuffle)
    for _ in range(2):
        sizes, order = [], []
        for X, y in batches:
            assert X.shape == (len(y), 1, 2, 3)
            pixels = np.rint(X.asnumpy() * 255).astype(int)
            assert (pixels == pixels[:, :, :1, :1]).all()
            indices = pixels[:, 0, 0, 0].tolist()
            assert [labels[i] for i in indices] == y.asnumpy().tolist()
            sizes.append(len(y))
            order += indices
        assert sorted(order) == list(range(n))
        assert shuffle or order == list(range(n))
        assert len(batches) == len(sizes)
        assert all(size == batch_size for size in sizes[:-1])


def test_two_passes_at_once_do_not_disturb_each_other():
    batches = BatchLoader(images_of(10), np.arange(10), 3, shuffle=True)
    one, other = [], []
    for (_, y), (_, other_y) in zip(batches, batches, strict=True):
        one += y.asnumpy().tolist()
        other += other_y.asnumpy().tolist()
    assert sorted(one) == sorted(other) == list(range(10))


def test_a_batch_may_be_written_to():
    images = images_of(3)
    batches = BatchLoader(images, np.arange(3), 3)
    X, y = next(iter(batches))
    X[:], y[:] = 1, 0
    assert X.asnumpy().min() == 1
    X, y = next(iter(batches))
    assert X.asnumpy()[0].max() == 0 and y.asnumpy().tolist() == [0, 1, 2]
    np.testing.assert_array_equal(images, images_of(3))


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, 2.0, True, None, "4", np.nan])
def test_batch_size_that_is_none(folder, batch_size):
    with pytest.raises(ValueError, match="^batch_size: found .*, expected a whole"):
        load_data_fashion_mnist(batch_size, root=folder)
    with pytest.raises(ValueError, match="^batch_size: found "):
        BatchLoader(images_of(2), np.arange(2), batch_size)


@pytest.mark.parametrize(
    "resize", [0, -1, 1.5, True, False, "32", (), (8,), (8, 0), (8, 8.5), (8, 8, 1)]
)
def test_resize_that_is_none(resize):
    with pytest.raises(ValueError, match="^resize: found .*, expected "):
        BatchLoader(images_of(2), np.arange(2), 2, resize=resize)


def test_resize_that_is_none_for_the_loader(folder):
    with pytest.raises(ValueError, match="^resize: found 0, expected a whole number"):
        load_data_fashion_mnist(2, resize=0, root=folder)


@pytest.mark.parametrize("whole", [np.int64(2), np.uint8(2)])
def test_whole_numbers_of_numpy_will_do(whole):
    batches = BatchLoader(images_of(3), np.arange(3), whole, resize=whole)
    assert [X.shape for X, _ in batches] == [(2, 1, 2, 2), (1, 1, 2, 2)]


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (images_of(3)[..., 0], np.arange(3), r"images: found uint8 \(3, 2, 3\)"),
        (images_of(3).repeat(3, -1), np.arange(3), r"images: .* \(3, 2, 3, 3\)"),
        (images_of(3).astype("f4"), np.arange(3), "images: found float32"),
        (images_of(3).reshape(3, 1, 2, 3), np.arange(3), "images: .*, expected uint8"),
        (images_of(3, height=0), np.arange(3), r"images: .* \(3, 0, 3, 1\)"),
        (images_of(3), np.arange(2), r"labels: .* \(2,\), expected \(3,\)"),
        (images_of(3), np.zeros((3, 1), int), r"labels: .* \(3, 1\), expected \(3,\)"),
        (images_of(3), np.array([0, 1, 10]), "labels: found 0 to 10, expected 0 to 9"),
        (images_of(3), np.array([0, 1, -1]), "labels: found -1 to 1, expected 0 to 9"),
        (images_of(3), np.array([0, 1, 0.5]), "labels: found float64, expected whole"),
        (images_of(3), np.array([0, 1, np.nan]), "labels: found float64"),
        (images_of(3), np.array([0, 1, 2**32]), "labels: found 0 to 4294967296"),
    ],
)
def test_wrong_arrays(images, labels, message):
    with pytest.raises(ValueError, match=message):
        BatchLoader(images, labels, 2)


@given(n=st.integers(4, 60), batch_size=st.integers(4, 20), workers=st.integers(1, 5))
def test_shares_of_all_workers_make_each_batch(n, batch_size, workers):
    labels = np.arange(n) % 10
    passes = []
    for rank in range(workers + 1):
        # The last one takes all.
        part = (0, 1) if rank == workers else (rank, workers)
        options = {"shuffle": True, "part": part}
        if 0 < n % batch_size < part[1] or min(n, batch_size) < part[1]:
            with pytest.raises(ValueError, match=f"found {workers} workers for a last"):
                BatchLoader(images_of(n), labels, batch_size, **options)
            return
        np.random.seed(7)
        passes.append(list(BatchLoader(images_of(n), labels, batch_size, **options)))
    for *shares, (X, y) in zip(*passes, strict=True):
        assert [X.asnumpy().tolist(), y.asnumpy().tolist()] == [
            np.concatenate([share[i].asnumpy() for share in shares]).tolist()
            for i in range(2)
        ]
        sizes = [share[1].size for share in shares]
        assert max(sizes) - min(sizes) <= 1 <= min(sizes)


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0), (0.5, 2)])
def test_a_part_that_is_none(part):
    with pytest.raises(ValueError, match=r"part\[.\]: found"):
        BatchLoader(images_of(8), np.arange(8), 4, part=part)


def test_empty_arrays_give_no_batch():
    batches = BatchLoader(images_of(0), np.arange(0), 2, shuffle=True, resize=4)
    assert len(batches) == 0 and list(batches) == []


@pytest.mark.parametrize(
    "labels",
    [
        [0, 9, 5],
        (0, 9, 5),
        np.array([0, 9, 5]),
        np.array([0, 9, 5], np.float32),
        nd.array([0, 9, 5]),
        nd.array([0, 9, 5], dtype="int32"),
        (label for label in (0, 9, 5)),
    ],
)
def test_texts_of_labels(labels):
    assert get_fashion_mnist_labels(labels) == ["t-shirt", "ankle boot", "sandal"]


def test_texts_are_the_books():
    assert get_fashion_mnist_labels(range(10)) == [
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ]
    assert get_fashion_mnist_labels([]) == []


@pytest.mark.parametrize("label", [10, -1, 0.5, -0.5, np.nan, np.inf, "3", None])
def test_label_without_a_text(label):
    with pytest.raises(ValueError, match=f"labels: found {label}, expected 0 to 9"):
        get_fashion_mnist_labels([0, label])


@pytest.mark.parametrize("label", [10, -1, 0.5])
def test_label_of_an_ndarray_without_a_text(label):
    with pytest.raises(ValueError, match=f"labels: found {label}"):
        get_fashion_mnist_labels(nd.array([0, label]))
