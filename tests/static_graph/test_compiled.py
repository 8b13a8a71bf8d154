"""Chunks in compiled code do what batches one by one do, bit for bit."""

from unittest import mock

import d2l_mlp as gb
from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.static_graph import bound, compiled, hybrid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mxnet import gluon, nd
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


class OneByOne(data.BatchLoader):
    """Gives pairs, since it has a way of its own."""

    def __iter__(self):
        return super().__iter__()


def train(fashion_mnist, kind, num_hiddens=16, lr=0.1, net=models.make_net, **options):
    """Return what two epochs yield, and the bytes of the parameters after them.

    Of all but OneByOne compiled code is seen to take the batches.
    """
    # The last batch is smaller.
    images, labels = (
        fashion_mnist.train_images[:1000],
        fashion_mnist.train_labels[:1000],
    )
    gb.seed_everything(0)
    params = models.init_params(num_hiddens)
    loader = kind(images, labels, 128, shuffle=True)
    arguments = (net(params), loader, loader, loss, 2, 128, params, lr)
    with mock.patch.object(compiled, "run", wraps=compiled.run) as ran:
        run = gb.train_epochs(*arguments, hybridize=True, **options)
        results = [(str(result), result.batches.tolist()) for result in run]
    assert ran.called == (kind is not OneByOne)
    return results, [param.asnumpy().tobytes() for param in params]


@pytest.mark.parametrize("wd", [0.0, 0.01])
@pytest.mark.parametrize("num_hiddens", [(), (16,), (300, 300)])
def test_the_bits_are_those_of_batches_one_by_one(fashion_mnist, num_hiddens, wd):
    options = {"num_hiddens": num_hiddens, "wd": wd}
    found = train(fashion_mnist, data.BatchLoader, **options)
    assert found == train(fashion_mnist, OneByOne, **options)


@pytest.mark.parametrize(
    "options",
    [{"lr": lambda num_updates: 0.1}, {"on_batch": lambda batch: batch.sync()}],
    ids=["schedule", "on_batch"],
)
def test_the_bits_are_the_same_with_a_stop_at_each_batch(fashion_mnist, options):
    found = train(fashion_mnist, data.BatchLoader, **options)
    assert found == train(fashion_mnist, data.BatchLoader)


def test_a_schedule_is_followed_from_batch_to_batch(fashion_mnist):
    def lr(num_updates):
        return 0.1 / (1 + num_updates)

    found = train(fashion_mnist, data.BatchLoader, lr=lr)
    assert found == train(fashion_mnist, OneByOne, lr=lr)
    assert found != train(fashion_mnist, data.BatchLoader)


def test_the_bits_are_the_same_of_parameters_that_compiled_code_cannot_update(
    fashion_mnist,
):
    def net(params):
        doubles = [param.astype("float64") for param in params]
        for param in doubles:
            param.attach_grad()
        params[:] = doubles
        plain = models.make_net(doubles)
        return lambda X: plain(nd.Cast(X, dtype="float64"))

    found = train(fashion_mnist, data.BatchLoader, net=net)
    assert found == train(fashion_mnist, OneByOne, net=net)


def test_the_bits_are_the_same_with_dropout_and_a_seed(fashion_mnist):
    options = {"net": lambda params: models.make_net(params, 0.2), "seed": 1}
    found = train(fashion_mnist, data.BatchLoader, **options)
    assert found == train(fashion_mnist, OneByOne, **options)
    assert found != train(fashion_mnist, data.BatchLoader, **options | {"seed": 2})


def test_the_bits_are_the_same_with_a_gluon_trainer(fashion_mnist):
    ends = []
    for kind in (data.BatchLoader, OneByOne):
        gb.seed_everything(0)
        twin = models.gluon_twin(models.init_params((16,)))
        trainer = gluon.Trainer(twin.collect_params(), "adam", {})
        loader = kind(
            fashion_mnist.train_images[:1000], fashion_mnist.train_labels[:1000], 128
        )
        run = gb.train_epochs(
            twin, loader, loader, loss, 2, 128, trainer=trainer, hybridize=True
        )
        with mock.patch.object(compiled, "run", wraps=compiled.run) as ran:
            lines = [str(result) for result in run]
        assert ran.called == (kind is not OneByOne)
        ends.append((lines, twin[0].weight.data().asnumpy()))
    assert ends[0][0] == ends[1][0]
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


def test_a_run_that_diverges_is_said_to(fashion_mnist):
    with pytest.raises(gb.TrainingDiverged):
        train(fashion_mnist, data.BatchLoader, lr=1e38)


def test_the_batches_before_a_label_that_is_none_count(fashion_mnist):
    """As they do one by one: parameters are never half of one state."""
    images, labels = fashion_mnist.train_images[:500], fashion_mnist.train_labels[:500]
    ends = []
    for kind in (data.BatchLoader, OneByOne):
        gb.seed_everything(0)
        params = models.init_params(16)
        loader = kind(images, labels, 100)
        loader.labels[350] = 10
        run = gb.train_epochs(
            models.make_net(params), loader, loader, loss, 1, 100, params, 0.1,
            hybridize=True,
        )  # fmt: skip
        with pytest.raises(ValueError, match="labels: found 0 to 10, expected 0 to 9"):
            next(run)
        ends.append([param.asnumpy().tobytes() for param in params])
    assert ends[0] == ends[1]


def test_labels_of_another_kind_are_taken_as_they_are(fashion_mnist):
    """Cast to int32, 2**32 would be 0."""
    loader = data.BatchLoader(fashion_mnist.test_images, fashion_mnist.test_labels, 256)
    assert loader.gives_chunks
    loader.labels = loader.labels + np.int64(2**32)
    assert not loader.gives_chunks


@pytest.mark.parametrize(
    ("moment", "pieces"), [(0.0, [1] * 8), (1e9, [1, 2, 4, 1])], ids=["long", "short"]
)
def test_a_chunk_is_taken_in_pieces_of_a_moment(
    fashion_mnist, monkeypatch, moment, pieces
):
    """Ctrl-C waits for one: as many batches as take so long, and one at least."""
    monkeypatch.setattr(bound, "MOMENT", moment)
    loader = data.BatchLoader(
        fashion_mnist.train_images[:800], fashion_mnist.train_labels[:800], 100
    )
    params = models.init_params(16)
    step = hybrid.hybridize(models.make_net(params), params, loss, 100, 0.1)
    (chunk,) = step.feed(loader, 800)
    for take in (step.train, step.count):
        with mock.patch.object(compiled, "run", wraps=compiled.run) as ran:
            assert len(take(chunk)) == 8
        assert [len(call.args[4]) for call in ran.call_args_list] == pieces


def test_one_kind_of_code_is_compiled_for_all_of_it(fashion_mnist):
    images = fashion_mnist.train_images[:300].copy()
    for writeable in (True, False):
        images.flags.writeable = writeable
        loader = data.BatchLoader(images, fashion_mnist.train_labels[:300], 200)
        params = models.init_params((16,) if writeable else (16, 8))
        step = hybrid.hybridize(
            models.make_net(params), params, loss, 200, np.float32(0.1)
        )
        before = set(compiled._work.signatures)
        for part in step.feed(loader, 1000):
            step.train(part)
            step.count(part)
        if not writeable:
            assert set(compiled._work.signatures) == before != set()


class Beyond(data.BatchLoader):
    def batch_indices(self):
        return (batch + 1 for batch in super().batch_indices())


def test_images_that_there_are_not_are_refused(fashion_mnist):
    with pytest.raises(
        ValueError, match="batch_indices: found 897 to 1000, expected 0 to 999"
    ):
        train(fashion_mnist, lambda *args, shuffle: Beyond(*args))


def test_other_arrays_than_a_loader_takes_are_refused(fashion_mnist):
    loader = data.BatchLoader(fashion_mnist.test_images, fashion_mnist.test_labels, 256)
    loader.labels = loader.labels[:300]
    with pytest.raises(ValueError, match=r"labels: found shape \(300,\), expected"):
        list(loader.chunks(1000))


scores = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, -0.0, 1.0, np.inf, np.nan]),
)


@given(scores, st.integers(0, 5))
def test_right_answers_are_counted_as_numpy_does(scores, label):
    """The first of equal scores counts, and NaN before all others."""
    y = np.full(len(scores), label, np.int32)
    expected = np.count_nonzero(scores.argmax(axis=1) == y)
    assert compiled._count_correct(scores, y) == expected
