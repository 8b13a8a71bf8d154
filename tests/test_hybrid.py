import os
import subprocess
import sys

from d2l_mlp import data, graph, hybrid, models, training

import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


@pytest.fixture(scope="module")
def batch(fashion_mnist):
    images = fashion_mnist.train_images[:256].reshape(256, 1, 28, 28)
    return nd.array(images / np.float32(255)), nd.array(
        fashion_mnist.train_labels[:256], dtype="int32"
    )


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
    "others": ((32,), wide_bias),
}


@pytest.mark.parametrize("rewrite", [True, False], ids=["rewritten", "as recorded"])
@pytest.mark.parametrize("name", NETS)
def test_a_step_is_the_eager_step(batch, name, rewrite):
    """Loss, right answers and every parameter after one step, to 1e-5."""
    num_hiddens, make = NETS[name]
    X, y = batch
    training.seed_everything(0)
    params = models.init_params(num_hiddens, scale=0.1)
    twins = [param.copy() for param in params]
    for twin in twins:
        twin.attach_grad()
    with autograd.record():
        scores = make(twins)(X)
        expected_loss = loss(scores, y).sum()
    expected_loss.backward()
    training.sgd(twins, 0.5, 256)

    step = hybrid.hybridize(make(params), params, loss, 256, 0.5, rewrite=rewrite)
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
        training.seed_everything(1)
        twin = models.gluon_twin(models.init_params((32,)))
        trainer = gluon.Trainer(twin.collect_params(), optimizer, options)
        loader = data.BatchLoader(
            fashion_mnist.train_images[:2000], fashion_mnist.train_labels[:2000], 256
        )
        (result,) = training.train_epochs(
            twin, loader, loader, loss, 1, 256, trainer=trainer, hybridize=hybridize
        )
        ends.append((result, twin[0].weight.data().asnumpy()))
    assert str(ends[0][0]) == str(ends[1][0])
    np.testing.assert_allclose(ends[0][1], ends[1][1], atol=1e-5)


@pytest.mark.parametrize("num_hiddens", [(256,), ()])
def test_three_epochs_agree_to_three_decimals(num_hiddens):
    """At 0.1; at the chapter's 0.5 the last bit's difference grows beyond that."""
    lr = 0.1
    ends = []
    for hybridize in (False, True):
        train_iter, test_iter = data.load_data_fashion_mnist(256)
        training.seed_everything(0)
        params = models.init_params(num_hiddens)
        net = models.make_net(params)
        results = training.train_epochs(
            net, train_iter, test_iter, loss, 3, 256, params, lr, hybridize=hybridize
        )
        ends.append(
            [(r.train_loss, r.train_accuracy, r.test_accuracy) for r in results]
        )
        accuracy = training.evaluate_accuracy(test_iter, net)
        assert accuracy == pytest.approx(ends[-1][-1][2], abs=2e-4)
    np.testing.assert_allclose(ends[0], ends[1], atol=5e-4)


def test_the_chapters_run_learns_hybridized(capsys):
    train_iter, test_iter = data.load_data_fashion_mnist(256)
    lines = []
    for _ in range(2):
        training.seed_everything(0)
        params = models.init_params()
        net = models.make_net(params)
        training.train_ch3(
            net, train_iter, test_iter, loss, 3, 256, params, 0.5, hybridize=True
        )
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
    assert 0.83 <= float(lines[0].split()[-1]) <= 0.87


def test_both_engines_give_the_same_lines():
    """NumPy looks into the graph's memory: a threaded engine must be done by then."""
    outputs = []
    for engine in ("NaiveEngine", "ThreadedEnginePerDevice"):
        env = os.environ | {"MXNET_ENGINE_TYPE": engine, "OMP_NUM_THREADS": "1"}
        script = (
            "from d2l_mlp import run\n"
            "settings = run.Settings((32,), num_epochs=2, hybridize=True)\n"
            "for result in run.Run(settings).epochs(): print(result)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] and outputs[0].count("\n") == 2


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
        loss_sum, correct = step(*piece)
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


UNTRACEABLE = {
    branching: "looks at an array's values",
    hidden_constant: "1 arrays in it that are neither in params",
    alternating: "off by",
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


@pytest.mark.parametrize("make", [branching, hidden_constant])
def test_or_trained_without_one_when_asked(batch, make):
    ends = []
    for hybridize in (False, "auto"):
        training.seed_everything(0)
        params = models.init_params(8)
        arguments = (make(params), [batch], [batch], loss, 2, 256, params, 0.1)
        run = training.train_epochs(*arguments, hybridize=hybridize)
        if hybridize:
            with pytest.warns(UserWarning, match="going on without a graph"):
                results = list(run)
        else:
            results = list(run)
        ends.append(([str(result) for result in results], params[0].asnumpy()))
    assert ends[0][0] == ends[1][0]
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


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
            training.train_epochs(
                lambda X: X, [], [], loss, 1, 1, models.init_params(8), 1,
                hybridize="yes",
            )
        )  # fmt: skip


def small_loader(fashion_mnist, kind=data.BatchLoader, n=600):
    images, labels = fashion_mnist.train_images[:n], fashion_mnist.train_labels[:n]
    return kind(images, labels, 256)


class Inverted(data.BatchLoader):
    def __iter__(self):
        for X, y in super().__iter__():
            yield 1 - X, y


class Counted(list):
    batches = 3


def run_both(train_iter, between=None, num_epochs=3, lr=0.1):
    """Return the losses, eager and hybridized, and the parameters they end on."""
    ends = []
    for hybridize in (False, True):
        training.seed_everything(0)
        params = models.init_params(16, scale=0.1)
        net = models.make_net(params)
        losses = []
        for result in training.train_epochs(
            net, train_iter, train_iter, loss, num_epochs, 256, params, lr,
            hybridize=hybridize,
        ):  # fmt: skip
            losses.append(result.train_loss)
            if between:
                between(params)
        ends.append((losses, [param.asnumpy() for param in params]))
    return ends


def assert_alike(ends):
    (eager, eager_params), (graph_losses, graph_params) = ends
    assert graph_losses == pytest.approx(eager, rel=1e-4)
    for found, expected in zip(graph_params, eager_params, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_loader_of_ones_own_is_listened_to(fashion_mnist):
    assert_alike(run_both(small_loader(fashion_mnist, Inverted)))
    assert_alike(run_both(Counted(small_loader(fashion_mnist))))


def test_params_changed_between_epochs_are_taken_up(fashion_mnist):
    def decay(params):
        for param in params:
            param[:] = param * 0.5

    assert_alike(run_both(small_loader(fashion_mnist), between=decay))


def test_labels_changed_on_the_way_are_taken_up(fashion_mnist):
    losses = []
    for feed in (True, False):
        training.seed_everything(0)
        params = models.init_params(16)
        step = hybrid.hybridize(models.make_net(params), params, loss, 256, 0.1)
        loader = small_loader(fashion_mnist)
        batches = step.feed(loader) if feed else list(loader)
        losses.append([step(X, (y + 1) % 3)[0] for X, y in batches])
        losses[-1] += [step(X, (y + 1) % 3)[0] for X, y in batches]
    assert losses[0][:3] == losses[1][:3]


def test_an_error_on_the_way_leaves_whole_params(fashion_mnist):
    """The good batches before it count, for every parameter, as they do eagerly."""
    *good, (X, y) = small_loader(fashion_mnist)
    ends = []
    for hybridize in (False, True):
        training.seed_everything(0)
        params = models.init_params(16, scale=0.1)
        arguments = (models.make_net(params), [*good, (X, y + 10)], good, loss)
        with pytest.raises(ValueError, match="labels: found"):
            next(
                training.train_epochs(
                    *arguments, 1, 256, params, 0.1, hybridize=hybridize
                )
            )
        ends.append([param.asnumpy() for param in params])
    for found, expected in zip(*reversed(ends), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


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
        (result,) = training.train_epochs(
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
