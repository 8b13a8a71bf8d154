"""Arguments, batches and seeds that training refuses, and how it says so."""

from types import SimpleNamespace

import d2l_mlp as gb
from d2l_mlp.chapter import model as models

import numpy as np
import pytest
from mxnet import nd
from test_train import batches, train


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"lr": 0}, "lr: found 0"),
        ({"lr": -0.5}, "lr: found -0.5"),
        ({"lr": float("nan")}, "lr: found nan"),
        ({"lr": None}, "neither trainer nor params and lr"),
        ({"params": None}, "neither trainer nor params and lr"),
        ({"params": [nd.zeros(3)]}, r"params\[0\]: found NDArray without a gradient"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"batch_size": 1.5}, "batch_size: found 1.5"),
        ({"num_epochs": 0}, "num_epochs: found 0"),
        ({"train_metric": "median"}, "train_metric: found 'median'"),
        ({"train_iter": []}, "train_iter: found no batches"),
        ({"test_iter": []}, "test_iter: found no batches"),
        ({"train_iter": batches(classes=11, n=320)}, "labels: found . to 10"),
        ({"train_iter": [(nd.zeros((4, 784)), nd.array([0, 1, -1, 2]))]}, "found -1"),
        (
            {"train_iter": [(nd.zeros((4, 784)), nd.zeros(3))]},
            r"shape \(3,\), expected \(4,\)",
        ),
        ({"train_iter": [(nd.zeros((4, 784)), nd.zeros((4, 1)))]}, r"shape \(4, 1\)"),
        ({"train_iter": [(nd.zeros((4, 700)), nd.zeros(4))]}, r"found X \(4, 700\)"),
        ({"train_iter": [(nd.zeros((2, 1568)), nd.zeros(2))]}, r"output \(4, 10\)"),
        ({"train_iter": iter(batches()), "num_epochs": 2}, "no batches in epoch 2"),
        ({"test_iter": [(nd.zeros((4, 784)), nd.full(4, 77))]}, "labels: found 77"),
        ({"test_iter": [(nd.zeros((4, 784)), nd.zeros((4, 1)))]}, r"shape \(4, 1\)"),
        ({"test_iter": [(nd.zeros((4, 700)), nd.zeros(4))]}, r"found X \(4, 700\)"),
        ({"train_iter": [(nd.zeros((2, 784)), nd.array([np.nan, 1]))]}, "found nan"),
        ({"train_iter": [(nd.zeros((2, 784)), nd.array([0.5, 1]))]}, "fractions"),
        ({"params": models.init_params(8)[0]}, "found NDArray without"),
        ({"params": {"W1": 1}}, "found str without a gradient"),
        ({"lr": "0.1"}, "lr: found '0.1'"),
        ({"trainer": "sgd"}, "trainer: found str"),
        ({"wd": -0.1}, "wd: found -0.1, expected a finite number, at least 0"),
        ({"wd": float("nan")}, "wd: found nan"),
        (
            {"wd": 10.0, "lr": 0.1},
            "wd: found 10.0 at learning rate 0.1, expected a pro",
        ),
        ({"wd": 0.1, "trainer": SimpleNamespace(step=1, learning_rate=1)}, "beside a"),
        ({"trainer": SimpleNamespace(step=1, learning_rate=-1)}, "rate: found -1"),
        ({"batch_size": True}, "batch_size: found True"),
        ({"net": lambda X: X.sum(axis=(1, 2, 3))}, r"output \(32,\)"),
    ],
)
def test_bad_input_is_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        train(**kwargs)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, "0"])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match="seed: found"):
        gb.seed_everything(seed)


def test_evaluate_accuracy_checks_its_batches():
    with pytest.raises(ValueError, match="data_iter: found no batches"):
        gb.evaluate_accuracy([], lambda X: X)
    with pytest.raises(ValueError, match=r"labels: found shape \(3, 1\)"):
        gb.evaluate_accuracy([(nd.zeros((3, 2)), nd.zeros((3, 1)))], lambda X: X)


def test_labels_are_checked_before_a_loss_of_ones_own_sees_them():
    def own_loss(y_hat, y):
        return -nd.log_softmax(y_hat)[nd.arange(len(y)), y]

    params = models.init_params(8)
    batch = [(nd.zeros((4, 784)), nd.full(4, 50))]
    net = models.make_net(params)
    with pytest.raises(ValueError, match="labels: found 50.0 to 50.0"):
        list(gb.train_epochs(net, batch, batch, own_loss, 1, 4, params, 0.1))


class OneListForAll:
    """Gives every batch in the same list, with other arrays in it."""

    def __iter__(self):
        pair = [None, None]
        for pair[:] in batches(n=70):
            yield pair


@pytest.mark.parametrize("hybridize", [False, True])
def test_batches_in_one_list_are_each_looked_at(hybridize):
    ends = []
    for train_iter in (batches(n=70), OneListForAll()):
        gb.seed_everything(4)
        (result,) = train(train_iter=train_iter, hybridize=hybridize)
        ends.append(result.batches)
    np.testing.assert_array_equal(*ends)
