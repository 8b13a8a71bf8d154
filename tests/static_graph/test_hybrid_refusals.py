"""What cannot be a graph, or is no batch, is refused; never silently wrong."""

import warnings

import d2l_mlp as gb
from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.static_graph import graph, hybrid

import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


def branching(params):
    net = models.make_net(params)
    return lambda X: net(X) if X.sum().asscalar() > 0 else net(-X)


def hidden_constant(params):
    net = models.make_net(params)
    return lambda X: net(X) * nd.array([2.0])


def alternating(params):
    net, calls = models.make_net(params), []

    def alternate(X):
        calls.append(1)
        return net(X) * (len(calls) % 2 + 1)

    return alternate


def half_blocked_when_traced(params):
    """Right in its values, wrong in its gradients."""
    net, calls = models.make_net(params), []

    def blocked(X):
        calls.append(1)
        scores = net(X)
        return (nd.BlockGrad(scores) + scores) / 2 if len(calls) == 2 else scores

    return blocked


def casting(params):
    net = models.make_net(params)
    return lambda X: net(X.astype("float16").astype("float32"))


def halved(params):
    net = models.make_net(params)
    return lambda X: nd.Cast(net(X), dtype="float16")


UNTRACEABLE = {
    halved: "found float16 from it or its loss",
    casting: "write nd.Cast",
    branching: "looks at an array's values",
    hidden_constant: "1 arrays in it that are neither in params",
    alternating: "off by",
    half_blocked_when_traced: "off by .* in the gradients",
}


@pytest.mark.parametrize("make", UNTRACEABLE, ids=lambda make: make.__name__)
def test_what_cannot_be_a_graph_is_refused(batch, make):
    params = models.init_params(8)
    step = hybrid.hybridize(make(params), params, loss, 256, 0.1)
    before = [param.asnumpy() for param in params]
    with pytest.raises(graph.NotTraceable, match=UNTRACEABLE[make]):
        step(*batch)
    for param, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(param.asnumpy(), old)
    assert batch[0].asnumpy().shape == (256, 1, 28, 28), "values can be seen again"


def test_a_step_without_a_rate_is_refused(batch):
    params = models.init_params(8)
    step = hybrid.hybridize(models.make_net(params), params, loss, 256, 0.1)
    step.lr = None
    with pytest.raises(ValueError, match="lr: found None, expected one without a tra"):
        step(*batch)


def test_a_loss_that_was_another_when_traced_is_refused(batch):
    """Its gradients and the scores are right."""
    params, calls = models.init_params(8), []

    def one_more_at_first(scores, y):
        calls.append(1)
        return loss(scores, y) + (len(calls) == 1)

    step = hybrid.hybridize(models.make_net(params), params, one_more_at_first, 256, 1)
    with pytest.raises(graph.NotTraceable, match=r"off by 2.6e\+02 in the loss"):
        step(*batch)


@pytest.mark.parametrize("make", [branching, hidden_constant])
def test_or_trained_without_one_when_asked(batch, make):
    ends = []
    for hybridize in (False, "auto"):
        gb.seed_everything(0)
        params = models.init_params(8)
        arguments = (make(params), [batch], [batch], loss, 2, 256, params, 0.1)
        run = gb.train_epochs(*arguments, hybridize=hybridize)
        if hybridize:
            with pytest.warns(UserWarning, match="going on without a graph"):
                results = list(run)
        else:
            results = list(run)
        ends.append(([str(result) for result in results], params[0].asnumpy()))
    assert ends[0][0] == ends[1][0]
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


def test_a_loaders_chunks_are_trained_on_without_a_graph_too(fashion_mnist):
    loader = data.BatchLoader(
        fashion_mnist.train_images[:600], fashion_mnist.train_labels[:600], 256
    )
    ends = []
    for hybridize in (False, "auto"):
        gb.seed_everything(0)
        params = models.init_params(8)
        arguments = (branching(params), loader, loader, loss, 2, 256, params, 0.1)
        run = gb.train_epochs(*arguments, hybridize=hybridize)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            lines = [str(result) for result in run]
        told = [str(w.message) for w in warned if "without a graph" in str(w.message)]
        assert len(told) == (hybridize == "auto")
        ends.append((lines, params[0].asnumpy().tobytes()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("options", [{}, {"static_alloc": True, "static_shape": True}])
def test_a_block_that_gluon_has_hybridized_is_told_so(batch, options):
    block = gluon.nn.HybridSequential()
    block.add(gluon.nn.Dense(8, activation="relu", in_units=784))
    block.add(gluon.nn.Dense(10, in_units=8))
    block.initialize()
    block.hybridize(**options)
    trainer = gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 0.1})
    step = hybrid.hybridize(block, None, loss, 256, trainer=trainer)
    with pytest.raises(graph.NotTraceable, match="hybridized by Gluon"):
        step(*batch)
    block.hybridize(active=False)
    assert np.isfinite(step(*batch)[0])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda X, y: (X, y + 5), "labels: found . to 1"),
        (lambda X, y: (X, y[:100]), r"labels: found shape \(100,\)"),
        (lambda X, y: (X[:, :, :20], y), "net: found X"),
    ],
)
def test_bad_batches_are_named(batch, bad, message):
    params = models.init_params(8)
    step = hybrid.hybridize(models.make_net(params), params, loss, 256, 0.1)
    for first in (True, False):
        with pytest.raises(ValueError, match=message):
            step(*bad(*batch))
        if first:
            step(*batch)


def test_nothing_to_train_is_named():
    with pytest.raises(ValueError, match="neither trainer nor params and lr"):
        hybrid.hybridize(lambda X: X, [], loss, 256, 0.1)
    with pytest.raises(ValueError, match="lr: found 0"):
        hybrid.hybridize(lambda X: X, models.init_params(8), loss, 256, 0)
    with pytest.raises(ValueError, match="hybridize: found 'yes'"):
        list(
            gb.train_epochs(
                lambda X: X, [], [], loss, 1, 1, models.init_params(8), 1,
                hybridize="yes",
            )
        )  # fmt: skip


def another_in_training(params):
    net = models.make_net(params)
    return lambda X: -net(X) if autograd.is_training() else net(X)


@pytest.mark.parametrize("lr", [0.1, 1e-7])
@pytest.mark.parametrize("make", [another_in_training, alternating])
def test_a_wrong_graph_is_refused_at_any_learning_rate(batch, make, lr):
    params = models.init_params(8, scale=1)
    step = hybrid.hybridize(make(params), params, loss, 256, lr)
    with pytest.raises(graph.NotTraceable, match="off by"):
        step(*batch)


def test_running_statistics_are_refused_and_auto_goes_on(batch):
    block = gluon.nn.Sequential()
    block.add(gluon.nn.Dense(8, in_units=784), gluon.nn.BatchNorm(in_channels=8))
    block.add(gluon.nn.Dense(10, in_units=8))
    block.initialize()
    trainer = gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 0.1})
    step = hybrid.hybridize(block, None, loss, 256, trainer=trainer)
    with pytest.raises(graph.NotTraceable, match="running statistics"):
        step(*batch)
    with pytest.warns(UserWarning, match="going on without a graph"):
        (result,) = gb.train_epochs(
            block, [batch], [batch], loss, 1, 256, trainer=trainer, hybridize="auto"
        )
    assert np.isfinite(result.train_loss)


def test_blocks_and_trainers_that_lack_something_are_named():
    deferred = gluon.nn.Dense(10)
    deferred.initialize()
    trainer = gluon.Trainer(deferred.collect_params(), "sgd")
    with pytest.raises(ValueError, match="found a parameter without values"):
        hybrid.hybridize(deferred, None, loss, 256, trainer=trainer)
    with pytest.raises(ValueError, match="params: found none"):
        hybrid.hybridize(lambda X: deferred(X), None, loss, 256, trainer=trainer)
    W = models.init_params(())[0]
    with pytest.raises(ValueError, match="an array twice"):
        hybrid.hybridize(lambda X: X, [W, W], loss, 256, 0.1)


@pytest.mark.parametrize("size", [100, 256])
def test_wrong_gradients_are_refused_for_every_size_of_batch(batch, size):
    """Right for the first graph, and wrong when that of a smaller batch is traced."""
    X, y = batch
    params, calls = models.init_params(8), []
    net = models.make_net(params)

    def blocked(X):
        calls.append(len(X))
        scores = net(X)
        # Of the calls for a size, the second is the one that is traced.
        wrong = len(X) == size and calls.count(size) == 2
        return (nd.BlockGrad(scores) + scores) / 2 if wrong else scores

    step = hybrid.hybridize(blocked, params, loss, 256, 0.1)
    with pytest.raises(graph.NotTraceable, match="off by .* in the gradients"):
        for n in (256, 100):
            step(X[:n], y[:n])
    assert calls.count(256) > 0 and (size in calls)
