"""Whole epochs over static graphs end as the eager ones do."""

import os
import subprocess
import sys

from d2l_mlp import data, hybrid, models, training

import numpy as np
import pytest
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


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
