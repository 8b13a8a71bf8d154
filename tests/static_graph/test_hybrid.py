"""A step over a static graph is the eager step."""

import d2l_mlp as gb
from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.static_graph import hybrid, verify

import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


def by_a_vector(params):
    """A product with a vector, which is no layer."""
    W, b, V, c = params

    def net(X):
        H = nd.dot(X.reshape((-1, 784)), W)
        return nd.dot(H, V) * (1 + nd.dot(H, b).reshape((-1, 1))) + c

    return net


def on_three_axes(params):
    """A layer over the last axis of several."""
    W, b, V, c = params

    def net(X):
        half, units = W[:392].T, W.shape[1]
        X = X.reshape((-1, 2, 392))
        H = nd.FullyConnected(X, half, num_hidden=units, no_bias=True, flatten=False)
        return nd.dot(nd.tanh(H + b).sum(axis=1), V) + c

    return net


def wide_bias(params):
    """A net whose operators no rewrite knows: tanh, a square, a weight used twice."""
    W, b = params[:2]

    def net(X):
        H = nd.tanh(nd.dot(X.reshape((-1, 784)), W) + b)
        return (
            nd.dot(H * H, params[2])
            + params[3]
            + nd.dot(X.reshape((-1, 784)), W)[:, :10]
        )

    return net


def gluon_block(params):
    return models.gluon_twin(params)


NETS = {
    "linear": ((), models.make_net),
    "one layer": ((256,), models.make_net),
    "two layers": ((64, 32), models.make_net),
    "four layers": ((32, 32, 32, 32), models.make_net),
    "a large second layer": ((1024, 80), models.make_net),
    "others": ((32,), wide_bias),
    "a vector": ((32,), by_a_vector),
    "three axes": ((32,), on_three_axes),
}


@pytest.mark.parametrize("wd", [0.0, 0.02])
@pytest.mark.parametrize("rewrite", [True, False], ids=["rewritten", "as recorded"])
@pytest.mark.parametrize("name", NETS)
def test_a_step_is_the_eager_step(batch, name, rewrite, wd):
    """Loss, right answers and every parameter after one step, to 1e-5."""
    num_hiddens, make = NETS[name]
    X, y = batch
    gb.seed_everything(0)
    params = models.init_params(num_hiddens, scale=0.1)
    twins = [param.copy() for param in params]
    for twin in twins:
        twin.attach_grad()
    with autograd.record():
        scores = make(twins)(X)
        expected_loss = loss(scores, y).sum()
    expected_loss.backward()
    gb.sgd(twins, 0.5, 256, wd)

    step = hybrid.hybridize(
        make(params), params, loss, 256, 0.5, wd=wd, rewrite=rewrite
    )
    loss_sum, correct = step(X, y)
    step.sync()
    assert loss_sum == pytest.approx(expected_loss.asscalar(), rel=1e-5)
    right = scores.asnumpy().argmax(axis=1) == y.asnumpy()
    assert correct == right.sum()
    for param, twin in zip(params, twins, strict=True):
        moved = np.abs(twin.grad.asnumpy()).max() * 0.5 / 256
        np.testing.assert_allclose(
            param.asnumpy(), twin.asnumpy(), atol=1e-5 * moved + 1e-7
        )


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [("sgd", {"learning_rate": 0.1, "momentum": 0.9}), ("adam", {})],
)
def test_a_gluon_block_with_its_trainer(fashion_mnist, optimizer, options):
    ends = []
    for hybridize in (False, True):
        gb.seed_everything(1)
        twin = models.gluon_twin(models.init_params((32,)))
        trainer = gluon.Trainer(twin.collect_params(), optimizer, options)
        loader = data.BatchLoader(
            fashion_mnist.train_images[:2000], fashion_mnist.train_labels[:2000], 256
        )
        (result,) = gb.train_epochs(
            twin, loader, loader, loss, 1, 256, trainer=trainer, hybridize=hybridize
        )
        ends.append((result, twin[0].weight.data().asnumpy()))
    assert str(ends[0][0]) == str(ends[1][0])
    np.testing.assert_allclose(ends[0][1], ends[1][1], atol=1e-5)


def test_the_learning_rate_may_change_between_steps(batch):
    params = models.init_params(8)
    step = hybrid.hybridize(models.make_net(params), params, loss, 256, 0.5)
    step(*batch)
    step.sync()
    before = [param.asnumpy() for param in params]
    step.lr = 1e-12
    step(*batch)
    step.sync()
    for param, old in zip(params, before, strict=True):
        np.testing.assert_allclose(param.asnumpy(), old, atol=1e-9)


def test_any_batches_and_sizes_will_do(batch):
    X, y = batch
    params = models.init_params(8)
    step = hybrid.hybridize(models.make_net(params), params, loss, 100, 0.1)
    pieces = [(X[:100], y[:100]), (X[100:200], y[100:200].astype("float32"))]
    pieces += [(X[200:].reshape((56, 784)), y[200:])]
    for piece in step.feed(pieces):
        ((loss_sum, correct),) = step.train(piece)
        assert np.isfinite(loss_sum) and 0 <= correct <= 100
    assert 0 <= step.count_correct(X, y) <= 256


def test_a_constant_that_the_net_names_is_part_of_the_graph(batch):
    mean = nd.full((1, 784), 0.3)
    params = models.init_params(8)
    net = models.make_net(params)
    step = hybrid.hybridize(
        lambda X: net(X.reshape((-1, 784)) - mean), params, loss, 256, 0.1
    )
    assert np.isfinite(step(*batch)[0])


def test_dropout_is_on_in_training_only(batch):
    params = models.init_params((), scale=0.1)

    def net(X):
        return nd.dot(nd.Dropout(X.reshape((-1, 784)), p=0.5), params[0]) + params[1]

    step = hybrid.hybridize(net, params, loss, 256, 1e-9)
    assert len({step(*batch)[0] for _ in range(4)}) == 4
    assert len({step.count_correct(*batch) for _ in range(4)}) == 1


@pytest.mark.parametrize("seed", [8, 12])
def test_images_that_a_layer_is_dead_for_are_no_reason_to_refuse(fashion_mnist, seed):
    """Of them the next layer gets its biases alone, which are 0: the kink itself."""
    gb.seed_everything(seed)
    params = models.init_params((8, 16), scale="he")
    before = [param.asnumpy() for param in params]
    # The first layer is off for every other image.
    X = nd.array(fashion_mnist.train_images[:512].reshape(512, 1, 28, 28) / 255)
    y = nd.array(fashion_mnist.train_labels[:512], dtype="int32")
    X[::2] = 0
    step = hybrid.hybridize(models.make_net(params), params, loss, 512, 1e-9)
    step(X, y)
    step.sync()
    for param, old in zip(params, before, strict=True):
        np.testing.assert_allclose(param.asnumpy(), old, atol=1e-6)


def test_a_dead_net_is_no_reason_to_refuse(fashion_mnist, monkeypatch):
    """Its bias's gradient is a thousand equal terms, rounded the same way at each."""
    monkeypatch.setattr(verify.Verification, "_moved", None)  # without another try
    images = fashion_mnist.train_images[:1000].reshape(-1, 1, 28, 28)
    X, y = nd.array(images / 255), nd.zeros(1000, dtype="int32")
    params = models.init_params(8)
    params[1][:] = -100
    params[3][:] = nd.array(
        [
            -0.0022500949,
            -0.00945805758,
            -0.0398239233,
            0.009820031,
            0.017932063,
            0.00118343625,
            0.0158643778,
            0.00375402113,
            -0.0101377415,
            0.0131014334,
        ]
    )
    step = hybrid.hybridize(models.make_net(params), params, loss, 256, 0.1)
    step(X, y)


def test_a_batch_at_the_kink_of_relu_is_no_reason_to_refuse(batch):
    """Rounding alone decides there on which side of 0 a unit is."""
    X, y = batch
    gb.seed_everything(0)
    params = models.init_params(256)
    W, b = params[:2]
    first = X[0].reshape(784).asnumpy().astype("float64")
    b[:] = -first @ W.asnumpy().astype("float64")
    step = hybrid.hybridize(models.make_net(params), params, loss, 256, 0.5)
    step(X, y)
    step.sync()
