"""A run resumed within a process: the same bits as if never stopped."""

import os
from dataclasses import replace
from typing import get_args

from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.runs import params as params_file
from d2l_mlp.runs import resuming
from d2l_mlp.runs.checkpoint import CheckpointError
from d2l_mlp.runs.resuming import kept_epochs, made_of, restore, take
from d2l_mlp.runs.run import Run
from d2l_mlp.runs.settings import Schedule, Settings

import numpy as np
import pytest
from mxnet import gluon, nd

#: The last batch of each pass is smaller, so that a graph is traced for it, too.
SETTINGS = Settings((16,), batch_size=64, num_epochs=5, seed=3)
KINDS = {
    "eager": {},
    "hybridized": {"hybridize": True},
    "gluon": {"use_gluon": True},
    "gluon-hybridized": {"use_gluon": True, "hybridize": True},
}
#: What an exercise may change beside.
CHANGES = {"schedule": "cosine", "dropout": 0.3, "wd": 1e-3, "scale": "he"}


@pytest.fixture(scope="module")
def make(fashion_mnist):
    def make(settings=SETTINGS, net=None, **changes):
        settings = replace(settings, **changes)
        found = fashion_mnist
        loaders = (
            data.BatchLoader(
                found.train_images[:1000],
                found.train_labels[:1000],
                settings.batch_size,
                True,
                release=found.release,
            ),
            data.BatchLoader(
                found.test_images[:300], found.test_labels[:300], settings.batch_size
            ),
        )
        run = Run(settings, loaders)
        if net is not None:
            run.net = net(run.params)
        return run

    return make


def stop_after(epoch, epochs):
    """Take epochs until ``epoch`` is there, and then no more."""
    for result in epochs:
        if result.epoch == epoch:
            break
    epochs.close()
    # What a new process has not.
    np.random.seed(99)


def assert_same(run, results, whole, expected):
    assert [replace(r, seconds=0) for r in results] == [
        replace(r, seconds=0) for r in expected
    ]
    for found, one in zip(results, expected, strict=True):
        assert found.batches.tobytes() == one.batches.tobytes()
    for found, one in zip(run.trained(), whole.trained(), strict=True):
        assert found.asnumpy().tobytes() == one.asnumpy().tobytes()


def hold(make, folder, stops, **kwargs):
    """Compare a run that is stopped after each of ``stops`` with one that is not."""
    whole = make(**kwargs)
    expected = list(whole.epochs())
    for i, epoch in enumerate(stops):
        epochs = kept_epochs(make(**kwargs), folder, resume=i > 0)
        stop_after(epoch, epochs)
    run = make(**kwargs)
    results = list(kept_epochs(run, folder, resume=True))
    assert_same(run, results, whole, expected)
    return run, whole


@pytest.mark.parametrize("stops", [(1,), (4,), (1, 2, 4), (5,)])
@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_on_the_same_bits(make, tmp_path, kind, stops):
    run, whole = hold(make, tmp_path, stops, **KINDS[kind])
    assert [result.epoch for result in run.earlier] == list(range(1, stops[-1] + 1))
    if run.trainer is not None:
        counts = [each.trainer.optimizer.num_update for each in (run, whole)]
        assert counts == [16 * 5] * 2


def test_orders_go_on_after_a_shuffled_test_pass_and_another_run(make, tmp_path):
    def start():
        run = make()
        run.test_iter.shuffle = True
        make(seed=1)  # which seeds the generator that the first one shuffles with
        return run

    whole, run = start(), start()
    expected = list(whole.epochs())
    stop_after(2, kept_epochs(start(), tmp_path))
    assert_same(run, list(kept_epochs(run, tmp_path, resume=True)), whole, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_schedule_dropout_and_weight_decay_go_on(make, tmp_path, kind):
    hold(make, tmp_path, (1, 3), **KINDS[kind], **CHANGES)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_a_run_that_had_ended_is_told_again_whatever_its_schedule(
    make, tmp_path, schedule
):
    hold(make, tmp_path, (5,), schedule=schedule)


def with_dropout(params):
    W1, b1, W2, b2 = params

    def net(X):
        H = models.relu(nd.dot(X.reshape((-1, 784)), W1) + b1)
        return nd.dot(nd.Dropout(H, p=0.5), W2) + b2

    return net


def with_noise(params):
    """Return a net that is random in the test, too."""
    plain = models.make_net(params)
    return lambda X: plain(X + 0.3 * nd.random.normal_like(X))


# A net that is random in the test, too, is not taken for a graph.
@pytest.mark.filterwarnings("ignore:going on without a graph")
@pytest.mark.parametrize(
    ("net", "hybridize"),
    [
        (with_dropout, False),
        (with_dropout, True),
        (with_dropout, "auto"),
        (with_noise, False),
        (with_noise, "auto"),
    ],
)
def test_random_numbers_in_the_net_are_those_that_would_have_come(
    make, tmp_path, net, hybridize
):
    run, _ = hold(make, tmp_path, (1, 3), net=net, hybridize=hybridize)
    other = make(net=net, hybridize=hybridize, seed=4)
    assert next(other.epochs()) != run.earlier[0]


def test_a_nets_random_numbers_differ_by_epoch(make):
    """The same images, labels and parameters each time; only the masks may differ."""
    run = make(net=with_dropout, lr=1e-30, num_epochs=3)
    run.train_iter.shuffle = False
    losses = {result.batches[:, 0].tobytes() for result in run.epochs()}
    assert len(losses) == 3


@pytest.mark.parametrize("hybridize", [False, True])
def test_seeding_the_net_changes_nothing_where_nothing_is_drawn(make, hybridize):
    from d2l_mlp.static_graph.training import train_epochs

    whole = make(hybridize=hybridize)
    expected = list(whole.epochs())
    run = make(hybridize=hybridize)
    results = list(
        train_epochs(
            run.net, run.train_iter, run.test_iter, run.loss, 5, 64, run.params, 0.5,
            hybridize=hybridize,
        )
    )  # fmt: skip
    assert_same(run, results, whole, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.1}, r"lr 0.5 \(asked for: 0.1\)"),
        ({"num_hiddens": (16, 8)}, r"num_hiddens \[16\] \(asked for: \[16, 8\]\)"),
        ({"seed": 4, "hybridize": True}, r"seed 3 .*hybridize False \(asked for: True"),
        ({"num_epochs": 6}, r"num_epochs 5 \(asked for: 6\): ask for the same, or"),
        ({"use_gluon": True}, "use_gluon False"),
    ],
)
def test_another_run_is_refused_by_its_difference(make, tmp_path, changes, message):
    stop_after(1, kept_epochs(make(), tmp_path))
    with pytest.raises(
        CheckpointError, match=f"{tmp_path}: found .*another run.*{message}"
    ):
        next(kept_epochs(make(**changes), tmp_path, resume=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("release", "2017-08-26"),
        ("labels", "0" * 16),
        ("images", [60000, 10000]),
        ("mxnet", "2.0.0"),
        ("numpy", "0.9"),
        ("OMP_NUM_THREADS", "64"),
        ("dropout", 0.5),
    ],
)
def test_other_data_or_versions_are_refused_by_name(make, tmp_path, name, value):
    run = make()
    kept = take(run, [next(run.epochs())])
    other = replace(kept, made_of=kept.made_of | {name: value})
    with pytest.raises(CheckpointError, match=name):
        restore(make(), other, tmp_path)
    restore(make(), kept, tmp_path)


def test_a_folder_with_checkpoints_is_not_begun_anew_nor_an_empty_one_resumed(
    make, tmp_path
):
    with pytest.raises(CheckpointError, match="found no checkpoints"):
        next(kept_epochs(make(), tmp_path / "new", resume=True))
    stop_after(2, kept_epochs(make(), tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("epoch-*")}
    with pytest.raises(CheckpointError, match="found that of epoch 2, expected no"):
        next(kept_epochs(make(), tmp_path))
    assert {p.name: p.read_bytes() for p in tmp_path.glob("epoch-*")} == before


def test_the_epochs_from_before_can_be_averaged_otherwise(make, tmp_path):
    stop_after(2, kept_epochs(make(train_metric="batch"), tmp_path))
    run = make(train_metric="batch")
    results = list(kept_epochs(run, tmp_path, resume=True))
    expected = list(make(train_metric="sample").epochs())
    found = [result.averaged("sample") for result in results]
    assert found == [(r.train_loss, r.train_accuracy) for r in expected]


def test_an_optimizer_with_states_of_its_own_is_refused(make):
    run = make(use_gluon=True)
    momentum = {"learning_rate": 0.1, "momentum": 0.9}
    run.trainer = gluon.Trainer(run.net.collect_params(), "sgd", momentum)
    with pytest.raises(CheckpointError, match="found SGD with states of its own"):
        take(run, [next(run.epochs())])


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_trained_parameters_go_from_any_kind_of_run_to_any(
    make, tmp_path, source, target
):
    trained, run = make(**KINDS[source]), make(**KINDS[target], seed=9)
    next(trained.epochs())
    params_file.save_params(trained.trained(), tmp_path / "params.safetensors")
    run.load(params_file.load_arrays(tmp_path / "params.safetensors"))
    for found, expected in zip(run.trained(), trained.trained(), strict=True):
        assert found.asnumpy().tobytes() == expected.asnumpy().tobytes()
    X, _, _ = run.predict(50)
    np.testing.assert_allclose(
        run.net(X).asnumpy(), trained.net(X).asnumpy(), atol=1e-5
    )
    before = run.trained()[0].asnumpy()
    next(run.epochs())
    assert (run.trained()[0].asnumpy() != before).any(), "it trains what was loaded"


def test_parameters_of_another_net_are_refused(make):
    with pytest.raises(ValueError, match=r"params: found shapes \[\(784, 8\)"):
        make().load([param.asnumpy() for param in models.init_params(8)])


def test_what_a_run_is_made_of_is_json_and_names_the_threads(make):
    found = made_of(make())
    assert found["num_hiddens"] == [16] and found["release"] == "2017-08-31"
    assert found["OMP_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"]
    assert resuming.made_of(make(seed=4)) == found | {"seed": 4}
