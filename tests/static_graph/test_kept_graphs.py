"""A graph stays with its net for the next training, and notices what has changed."""

import copy
import gc
import weakref
from unittest import mock

import d2l_mlp as gb
from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.static_graph import graph, hybrid

import numpy as np
import pytest
from mxnet import gluon

loss = gluon.loss.SoftmaxCrossEntropyLoss()


@pytest.fixture
def loader(fashion_mnist):
    return data.BatchLoader(
        fashion_mnist.train_images[:600], fashion_mnist.train_labels[:600], 200
    )


def train(net, loader, params, loss=loss, hybridize=True, num_epochs=1, **options):
    """Return an epoch's batches, and how many graphs were traced for it."""
    lr = {} if "trainer" in options else {"lr": 0.1}
    with mock.patch.object(graph, "trace", wraps=graph.trace) as traced:
        run = gb.train_epochs(
            net, loader, loader, loss, num_epochs, 200, params,
            hybridize=hybridize, **lr, **options,
        )  # fmt: skip
        batches = [result.batches.tolist() for result in run]
    return batches, traced.call_count


def make(num_hiddens=16):
    gb.seed_everything(0)
    params = models.init_params(num_hiddens)
    return models.make_net(params), params


@pytest.mark.parametrize("num_hiddens", [16, 256], ids=["whole", "in two pieces"])
def test_a_second_training_traces_nothing(loader, num_hiddens):
    net, params = make(num_hiddens)
    first, traced = train(net, loader, params)
    assert traced > 0
    second, traced = train(net, loader, params)
    assert traced == 0
    # What it does is what one training of two epochs does.
    net, params = make(num_hiddens)
    assert train(net, loader, params, num_epochs=2)[0] == first + second


def test_parameters_that_were_set_meanwhile_are_taken_up(loader):
    net, params = make()
    start = [param.copy() for param in params]
    first, _ = train(net, loader, params)
    for param, old in zip(params, start, strict=True):
        param[:] = old
    assert train(net, loader, params) == (first, 0)


def change_number(parts):
    parts["scale"][0] = 0.5


def change_gradient(parts):
    parts["params"][0].attach_grad()


def change_nothing(parts):
    pass


@pytest.mark.parametrize(
    ("change", "traces"),
    [
        (change_number, True),
        (change_gradient, True),
        (change_nothing, False),
    ],
)
def test_what_has_changed_is_noticed(loader, change, traces):
    """The numbers after it are those of a net that was never traced before."""
    found = {}
    for hybridize in (True, False):
        base, params = make()
        scale = [2.0]
        parts = {"scale": scale, "params": params}

        def net(X, base=base, scale=scale):
            return base(X) * scale[0]

        train(net, loader, params, hybridize=hybridize)
        change(parts)
        found[hybridize] = train(net, loader, params, hybridize=hybridize)
    assert (found[True][1] > 0) == traces
    np.testing.assert_allclose(found[True][0], found[False][0], rtol=1e-4)


def test_a_number_that_changes_from_epoch_to_epoch_is_followed(loader):
    found = {}
    for hybridize in (True, False):
        base, params = make()
        scale = [1.0]
        step = gb.train_epochs(
            lambda X, base=base, scale=scale: base(X) * scale[0],
            loader, loader, loss, 3, 200, params, 0.1, hybridize=hybridize,
        )  # fmt: skip
        losses = []
        for result in step:
            losses.append(result.train_loss)
            scale[0] += 1
        found[hybridize] = losses
    np.testing.assert_allclose(found[True], found[False], rtol=1e-4)


def test_another_loss_or_other_parameters_are_another_graph(loader):
    net, params = make()
    train(net, loader, params)
    other = gluon.loss.SoftmaxCrossEntropyLoss(weight=2.0)
    assert train(net, loader, params, loss=other)[1] > 0
    assert train(net, loader, params[:2])[1] > 0


def test_a_gluon_block_that_is_initialized_anew_is_trained(loader):
    net, params = make()
    twin = models.gluon_twin(params)
    for _ in range(2):
        trainer = gluon.Trainer(twin.collect_params(), "sgd", {"learning_rate": 0.1})
        before = twin[0].weight.data().copy()
        train(twin, loader, None, trainer=trainer)
        assert (twin[0].weight.data() != before).sum().asscalar() > 0
        twin.initialize(force_reinit=True)


def test_a_graph_in_use_is_with_nobody_else(loader):
    net, params = make()
    train(net, loader, params)
    arguments = (net, params, loss, 200, 0.1)
    one = hybrid.take_kept(*arguments)
    assert hybrid.take_kept(*arguments) is not one
    one.end()
    assert hybrid.take_kept(*arguments) is one


def test_a_graph_lives_as_long_as_its_net(loader):
    net, params = make()
    train(net, loader, params)
    step = weakref.ref(net._d2l_mlp_graph)
    gc.collect()
    assert step() is not None
    del net
    gc.collect()
    assert step() is None


def test_a_net_is_copied_without_its_graph(loader):
    net, params = make()
    twin = models.gluon_twin(params)
    trainer = gluon.Trainer(twin.collect_params(), "sgd", {"learning_rate": 0.1})
    train(twin, loader, None, trainer=trainer)
    assert vars(copy.copy(twin)[0]) and vars(twin)["_d2l_mlp_graph"]
    assert copy.deepcopy({"graph": vars(twin)["_d2l_mlp_graph"]}) == {"graph": None}
