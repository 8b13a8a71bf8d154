import json
from dataclasses import asdict, replace
from typing import get_args

from d2l_mlp.chapter.model import make_net
from d2l_mlp.chapter.results import METRICS
from d2l_mlp.chapter.step import seed_everything
from d2l_mlp.dataset.fashion_mnist import make_loaders
from d2l_mlp.runs.run import Run, headline, make_schedule
from d2l_mlp.runs.settings import Metric, Schedule, Settings
from d2l_mlp.static_graph.training import HYBRIDIZE

import numpy as np
import pytest


def take(data, n):
    """Return the data with its first ``n`` images, for training and for the test."""
    return replace(
        data,
        train_images=data.train_images[:n],
        train_labels=data.train_labels[:n],
        test_images=data.test_images[:n],
        test_labels=data.test_labels[:n],
    )


def test_a_run_is_the_chapters_by_default():
    settings = Settings()
    assert (settings.num_hiddens, settings.lr, settings.batch_size) == (
        (256,),
        0.5,
        256,
    )
    assert settings.num_epochs == 10


@pytest.mark.parametrize("use_gluon", [False, True])
def test_a_run_learns_and_predicts(use_gluon):
    run = Run(Settings(num_hiddens=(32,), num_epochs=1, use_gluon=use_gluon))
    (result,) = run.epochs()
    assert result.test_accuracy > 0.7
    X, labels, predicted = run.predict(1000)
    assert X.shape == (1000, 1, 28, 28)
    np.testing.assert_array_equal(labels, run.test_iter.labels[:1000])
    assert np.mean(labels == predicted) == pytest.approx(result.test_accuracy, abs=0.05)


def test_both_kinds_of_net_start_alike():
    nets = [Run(Settings((16,), seed=3, use_gluon=gluon)) for gluon in (False, True)]
    X, _, _ = nets[0].predict()
    scores = [run.net(X).asnumpy() for run in nets]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_the_headline_names_seed_release_and_versions():
    line = headline(7, "2017-08-31")
    assert line.startswith("seed 7, Fashion-MNIST 2017-08-31, mxnet 1.9.1, numpy ")
    assert "\n" not in line


def test_the_loop_takes_what_the_settings_take():
    assert get_args(Metric) == METRICS
    for value in HYBRIDIZE:
        assert Settings(hybridize=value).hybridize is value


@pytest.mark.parametrize("mode", get_args(Schedule))
def test_a_schedule_falls_from_lr_and_stays_above_zero(mode):
    schedule = make_schedule(mode, 0.5, 100)
    rates = [schedule(n) if callable(schedule) else schedule for n in range(100)]
    assert rates[0] == 0.5
    assert all(late <= early for early, late in zip(rates, rates[1:], strict=False))
    assert rates[-1] > 0
    if mode == "constant":
        assert rates[-1] == 0.5
    else:
        assert rates[-1] < 0.01
    if mode == "cosine":
        expected = 0.25 * (1 + np.cos(np.pi * np.arange(100) / 100))
        np.testing.assert_allclose(rates, expected)


@pytest.mark.parametrize("hybridize", [False, True], ids=["eager", "hybridized"])
def test_gluon_takes_the_same_schedule_and_weight_decay(fashion_mnist, hybridize):
    """At a learning rate at which the last bit's difference stays one."""
    data = make_loaders(take(fashion_mnist, 640), 64)
    settings = Settings(
        (16,), 0.02, 64, 3, schedule="linear", wd=0.5, scale="he", hybridize=hybridize
    )
    runs = [Run(replace(settings, use_gluon=gluon), data) for gluon in (False, True)]
    for run in runs:
        seed_everything(1)
        run.results = list(run.epochs())
    for ours, theirs in zip(*(run.trained() for run in runs), strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=1e-5)
    # The decay alone takes a fifth of each weight away.
    start = Run(settings, data).params[0].asnumpy()
    assert np.linalg.norm(runs[0].params[0].asnumpy()) < 0.9 * np.linalg.norm(start)


@pytest.mark.parametrize("hybridize", [False, True], ids=["eager", "hybridized"])
def test_dropout_drops_while_learning_and_only_then(fashion_mnist, hybridize):
    data = make_loaders(take(fashion_mnist, 2000), 100)
    settings = Settings((64,), 0.1, 100, 2, scale="he", hybridize=hybridize)
    ends = []
    for dropout in (0.0, 0.8, 0.8):
        run = Run(replace(settings, dropout=dropout), data)
        (*_, last) = run.epochs()
        X, labels, predicted = run.predict(200)
        # No dropout at the test: the same answers as the net without it.
        plain = make_net(run.params)(X).argmax(axis=1).asnumpy()
        np.testing.assert_array_equal(predicted, plain)
        ends.append(last)
    assert ends[1].train_loss > 1.2 * ends[0].train_loss
    assert ends[1].test_accuracy > ends[1].train_accuracy
    assert ends[1].train_loss == ends[2].train_loss


def test_the_settings_as_text_name_what_is_not_the_chapters():
    assert str(Settings()) == "net 784-256-10, lr 0.5, batch size 256, 10 epochs"
    text = str(Settings(scale="he", schedule="cosine", dropout=0.5, wd=1e-4))
    assert text == (
        "net 784-256-10, lr 0.5 (cosine), batch size 256, 10 epochs, scale he, "
        "dropout 0.5, wd 0.0001"
    )


def test_settings_hold_pythons_own_numbers():
    found = Settings(
        num_hiddens=map(np.int64, (256, 128)),
        lr=np.float32(0.5),
        batch_size=np.int64(64),
        seed=np.int64(1),
        wd=np.float64(0.25),
        use_gluon=np.True_,
        hybridize=np.False_,
    )
    assert found == Settings((256, 128), 0.5, 64, seed=1, wd=0.25, use_gluon=True)
    kept = json.loads(json.dumps(asdict(found)))
    assert kept["num_hiddens"] == [256, 128] and kept["use_gluon"] is True
