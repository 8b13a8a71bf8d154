import time

import d2l_mlp as gb
from d2l_mlp.chapter import model as models
from d2l_mlp.chapter import results
from d2l_mlp.dataset import fashion_mnist as data

import gluonbook
import numpy as np
import pytest
from hypothesis import example, given, strategies
from mxnet import autograd, gluon, nd
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


def batches(n=64, batch_size=32, classes=10, seed=0):
    rng = np.random.default_rng(seed)
    X = nd.array(rng.random((n, 1, 28, 28)))
    y = nd.array(rng.integers(0, classes, n), dtype="int32")
    return [
        (X[i : i + batch_size], y[i : i + batch_size]) for i in range(0, n, batch_size)
    ]


def train(net=None, train_iter=None, test_iter=None, **kwargs):
    params = models.init_params(8)
    arguments = {
        "num_epochs": 1,
        "batch_size": 32,
        "params": params,
        "lr": 0.1,
    } | kwargs
    return list(
        gb.train_epochs(
            net or models.make_net(params),
            batches() if train_iter is None else train_iter,
            batches() if test_iter is None else test_iter,
            loss,
            **arguments,
        )
    )


def test_bit_for_bit_the_published_gluonbook(gluon_finds_debians_files, capsys):
    """Its data loader with four workers, its loop and prints, against ours."""
    ends = []
    for book in (gluonbook, None):
        if book:
            train_iter, test_iter = book.load_data_fashion_mnist(256)
            train_ch3 = book.train_ch3
        else:
            train_iter, test_iter = data.load_data_fashion_mnist(256)
            train_ch3 = gb.train_ch3
        gb.seed_everything(5)
        params = models.init_params()
        net = models.make_net(params)
        train_ch3(net, train_iter, test_iter, loss, 2, 256, params, 0.5)
        ends.append((capsys.readouterr().out, [p.asnumpy() for p in params]))
    (printed, expected), (ours, found) = ends
    assert ours == printed
    assert ours.startswith("epoch 1, loss 0.") and ours.count("\n") == 2
    for ours_param, their_param in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours_param, their_param)


def test_gluonbook_with_a_trainer(capsys):
    for train_ch3 in (gluonbook.train_ch3, gb.train_ch3):
        gb.seed_everything(2)
        twin = models.gluon_twin(models.init_params(16))
        trainer = gluon.Trainer(twin.collect_params(), "sgd", {"learning_rate": 0.1})
        train_ch3(twin, batches(), batches(), loss, 3, 32, trainer=trainer)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == lines[3:]


def test_it_learns(fashion_mnist):
    train_iter, test_iter = data.load_data_fashion_mnist(256)
    gb.seed_everything(0)
    params = models.init_params()
    net = models.make_net(params)
    results = list(
        gb.train_epochs(net, train_iter, test_iter, loss, 3, 256, params, 0.5)
    )
    assert [result.epoch for result in results] == [1, 2, 3]
    assert results[-1].test_accuracy >= 0.83
    assert results[0].train_loss > results[1].train_loss > results[2].train_loss
    assert all(result.seconds > 0 for result in results)


def test_the_same_seed_gives_the_same_bits(fashion_mnist):
    ends = []
    for seed in (7, 7, 8):
        loader = data.BatchLoader(
            fashion_mnist.train_images[:2048],
            fashion_mnist.train_labels[:2048],
            256,
            True,
        )
        gb.seed_everything(seed)
        params = models.init_params()
        net = models.make_net(params)
        (result,) = gb.train_epochs(net, loader, loader, loss, 1, 256, params, 0.5)
        ends.append((result.train_loss, [param.asnumpy() for param in params]))
    assert ends[0][0] == ends[1][0] != ends[2][0]
    for first, second in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_an_epoch_is_the_means_over_samples_or_batches():
    """Held against sums by hand; the last of the three batches is smaller."""
    train_iter, found = batches(n=70), []
    for train_metric in ("sample", "batch"):
        gb.seed_everything(4)
        params = models.init_params(8)
        twin_params = [param.copy() for param in params]
        for param in twin_params:
            param.attach_grad()
        net = models.make_net(params)
        (result,) = gb.train_epochs(
            net, train_iter, train_iter, loss, 1, 32, params, 0.1,
            train_metric=train_metric,
        )  # fmt: skip
        by_hand = models.make_net(twin_params)
        losses, hits = [], []
        for X, y in train_iter:
            with autograd.record():
                y_hat = by_hand(X)
                values = loss(y_hat, y)
            values.backward()
            gb.sgd(twin_params, 0.1, 32)
            losses.append(values.asnumpy())
            hits.append(y_hat.asnumpy().argmax(axis=1) == y.asnumpy())
        if train_metric == "batch":
            expected = [np.mean([part.mean() for part in c]) for c in (losses, hits)]
        else:
            expected = [np.concatenate(c).mean() for c in (losses, hits)]
        assert [result.train_loss, result.train_accuracy] == pytest.approx(expected)
        found.append(result)
    for result, other in (found, found[::-1]):
        assert result.averaged(train_metric="sample") == (
            found[0].train_loss,
            found[0].train_accuracy,
        )
        assert result.batches[:, 2].tolist() == [32, 32, 6]
        assert other.averaged("batch") == (found[1].train_loss, found[1].train_accuracy)


def test_sums_may_come_from_several_workers():
    """Two that have seen the same are as one, with twice the numbers."""
    for train_metric in ("sample", "batch"):
        ends = []
        for reduce in (None, lambda sums: 2 * sums):
            gb.seed_everything(4)
            (result,) = train(reduce=reduce, train_metric=train_metric)
            ends.append(result)
        alone, two = ends
        assert two.batches.tolist() == (2 * alone.batches).tolist()
        assert str(two) == str(alone)


def test_sgd_divides_by_the_batch_size_and_updates_in_place():
    param = nd.array([1.0, 2.0])
    param.attach_grad()
    param.grad[:] = nd.array([4.0, -8.0])
    gb.sgd([param], lr=0.5, batch_size=4)
    np.testing.assert_array_equal(param.asnumpy(), [0.5, 3.0])


@given(
    lr=strategies.just(0.0) | strategies.floats(1e-4, 10),
    batch_size=strategies.integers(1, 60_000),
    wd=strategies.sampled_from([0.0, 0.01]),
)
@example(lr=3.3333e-5, batch_size=1, wd=0.0)
@example(lr=1.753829335023541, batch_size=1, wd=0.0)
@example(lr=1.2345678e-15, batch_size=1, wd=0.0)
@example(lr=3e30, batch_size=1, wd=0.0)
def test_sgd_has_the_bits_of_its_formula_written_out(lr, batch_size, wd):
    grad = nd.random.normal(shape=(7, 5))
    for param in (nd.random.normal(shape=grad.shape), nd.zeros_like(grad)):
        expected = param * (1 - lr * wd) if wd else param
        expected = expected - float(np.float32(lr / batch_size)) * grad
        param.attach_grad()
        param.grad[:] = grad
        gb.sgd([param], lr, batch_size, wd)
        np.testing.assert_array_equal(param.asnumpy(), expected.asnumpy())


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_sgd_takes_any_dtype(dtype):
    param, grad = (nd.array([3, 4], dtype=dtype) for _ in range(2))
    param.attach_grad()
    param.grad[:] = grad
    gb.sgd([param], lr=2.0, batch_size=1)
    np.testing.assert_array_equal(param.asnumpy(), np.array([-3, -4], dtype))


def test_sgd_decays_as_mxnets_own():
    """Each parameter, biases as well, by lr times wd of itself."""
    param, grad = nd.random.normal(shape=(5, 3)), nd.random.normal(shape=(5, 3))
    twin = param.copy()
    param.attach_grad()
    param.grad[:] = grad
    gb.sgd([param], lr=0.5, batch_size=4, wd=0.1)
    nd.sgd_update(twin, grad, lr=0.5, wd=0.1, rescale_grad=1 / 4, out=twin)
    np.testing.assert_allclose(param.asnumpy(), twin.asnumpy(), rtol=1e-6)


def test_evaluate_accuracy_counts_samples():
    scores = nd.array([[0, 1], [1, 0], [0, 1]])
    labels = nd.array([1, 1, 1], dtype="int32")
    iterator = [(scores[:2], labels[:2]), (scores[2:], labels[2:])]
    assert gb.evaluate_accuracy(iterator, lambda X: X) == pytest.approx(2 / 3)


def test_the_books_line():
    result = gb.EpochResult(1, 0.83941, 0.6874, 0.8176, 1.0)
    assert str(result) == "epoch 1, loss 0.8394, train acc 0.687, test acc 0.818"


def test_an_epoch_trains_only_when_it_is_asked_for():
    passes = []

    class Counted(list):
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    params = models.init_params(8)
    run = gb.train_epochs(
        models.make_net(params), Counted(batches()), batches(), loss, 9, 32, params, 0.1
    )
    assert next(run).epoch == 1
    after_one = params[0].asnumpy()
    assert len(passes) == 1
    assert next(run).epoch == 2
    run.close()
    assert len(passes) == 2
    assert np.abs(params[0].asnumpy() - after_one).max() > 0


def test_params_may_be_any_iterable():
    params = models.init_params(8)
    before = params[0].asnumpy()
    train(net=models.make_net(params), params=(param for param in params))
    assert np.abs(params[0].asnumpy() - before).max() > 0


def test_the_engine_is_stopped_once_an_epoch(monkeypatch):
    """Nothing that the net computes is fetched, however many batches there are."""
    fetched = []
    asnumpy = nd.NDArray.asnumpy
    monkeypatch.setattr(
        nd.NDArray, "asnumpy", lambda self: fetched.append(self.shape) or asnumpy(self)
    )
    counts = []
    for n in (64, 640):
        fetched.clear()
        train(train_iter=batches(n), num_epochs=2)
        counts.append(sum(shape != (32,) for shape in fetched))
    assert counts == [2, 2], "labels, (32,), are at hand; anything else is computed"


def test_a_diverged_run_names_epoch_and_learning_rate():
    with pytest.raises(gb.TrainingDiverged, match=r"epoch \d.* rate 1e\+30"):
        train(lr=1e30, num_epochs=3)
    X = nd.full((4, 1, 28, 28), np.nan)
    with pytest.raises(gb.TrainingDiverged, match="found training loss nan"):
        train(train_iter=[(X, nd.zeros(4))])


def test_a_run_that_is_slowed_down_says_so_once(monkeypatch, fashion_mnist):
    images, labels = fashion_mnist.train_images[:64], fashion_mnist.train_labels[:64]
    loader = data.BatchLoader(images, labels, 32)
    # Each epoch reads the clock when it begins and when it ends.
    seconds = [2.0, 1.0, 2.5, 3.1, 4.0, 9.0]
    times = [t for i, s in enumerate(seconds) for t in (100.0 * i, 100.0 * i + s)]
    monkeypatch.setattr(time, "perf_counter", iter(times).__next__)
    params = models.init_params(4)
    run = gb.train_epochs(
        models.make_net(params), loader, loader, loss, len(seconds), 32, params, 0.1
    )
    with pytest.warns(UserWarning, match="epoch 4 took 3.1 s, the fastest one 1.0 s"):
        results = list(run)
    assert [round(result.seconds, 6) for result in results] == seconds


def test_short_epochs_are_not_called_slow():
    result = gb.EpochResult(2, 0.5, 0.8, 0.8, seconds=0.9)
    assert results.warn_if_slow(result, 0.01) == 0.01
