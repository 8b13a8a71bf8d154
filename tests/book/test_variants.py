"""Each variant changes what it says, and no more."""

from dataclasses import asdict

from d2l_mlp.book import CHAPTER, load_editions
from d2l_mlp.book.runs import OFFICIAL, RESPLIT, make_job, train
from d2l_mlp.book.variants import VARIANTS
from d2l_mlp.chapter.train import evaluate_accuracy
from d2l_mlp.dataset.fashion_mnist import BatchLoader
from d2l_mlp.runs.run import Run, Settings

import numpy as np
import pytest
from mxnet import autograd, nd

EDITIONS = load_editions()
RELEASE = "2017-08-31"


@pytest.fixture
def run(fashion_mnist):
    """A run on 600 images: two batches of 256 and one of 88."""

    def start(variant, **settings):
        images, labels = fashion_mnist.train_images[:600], fashion_mnist.train_labels
        loaders = [
            BatchLoader(images, labels[:600], 256, shuffle) for shuffle in (True, False)
        ]
        settings = {"num_hiddens": (8,), "num_epochs": 1} | settings
        found = Run(Settings(**settings | VARIANTS[variant].settings), loaders)
        VARIANTS[variant].arrange(found)
        return found

    return start


def labels_of(run):
    return np.concatenate([y.asnumpy() for _, y in run.train_iter])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("hybridize", [False, True], ids=["eager", "graph"])
def test_each_variant_trains(run, variant, hybridize):
    found = run(variant, hybridize=hybridize, num_epochs=3)
    results = list(found.epochs())
    assert results[2].train_loss < results[0].train_loss
    batches = 2 if variant == "small batch dropped" else 3
    assert results[0].batches[:, 2].tolist() == [256, 256, 88][:batches]
    accuracy = evaluate_accuracy(found.test_iter, found.net)
    assert accuracy == pytest.approx(results[2].test_accuracy, abs=0.004)


def test_orders(run, fashion_mnist):
    published = fashion_mnist.train_labels[:600]
    passes = {
        name: [labels_of(found), labels_of(found)]
        for name in ("as published", "never shuffled", "shuffled once")
        for found in [run(name)]
    }
    assert (passes["as published"][0] != passes["as published"][1]).any()
    assert (passes["never shuffled"][0] == published).all()
    assert (passes["never shuffled"][1] == published).all()
    assert (passes["shuffled once"][0] == passes["shuffled once"][1]).all()
    assert (passes["shuffled once"][0] != published).any()
    assert sorted(passes["shuffled once"][0]) == sorted(published)


@pytest.mark.parametrize(("size", "factor"), [(256, 1.0), (88, 256 / 88)])
def test_a_smaller_batch_is_divided_by_its_own_size(run, size, factor):
    scores, y = nd.random.normal(shape=(size, 10)), nd.arange(size) % 10
    scores.attach_grad()
    found = []
    for variant in ("as published", "divided by own size"):
        with autograd.record():
            value = run(variant).loss(scores, y)
        value.backward()
        found.append((value.asnumpy(), scores.grad.asnumpy()))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    np.testing.assert_allclose(found[1][1], factor * found[0][1], rtol=1e-4, atol=1e-7)


def test_precisions(run):
    X = nd.full((4, 1, 28, 28), 0.123456)
    rounded, exact = run("float16 images"), run("as published")
    half = nd.full((4, 1, 28, 28), float(np.float16(0.123456)))
    np.testing.assert_array_equal(rounded.net(X).asnumpy(), exact.net(half).asnumpy())
    assert (rounded.net(X).asnumpy() != exact.net(X).asnumpy()).any()
    double = run("float64")
    assert double.net(X).dtype == np.float64
    assert {param.dtype for param in double.params} == {np.float64}
    np.testing.assert_allclose(
        double.net(X).asnumpy(), exact.net(X).asnumpy(), rtol=1e-4
    )


def job_of(variant="as published", split=OFFICIAL, **settings):
    job = make_job(
        EDITIONS[CHAPTER], list(EDITIONS.values()), 1, split, RELEASE, variant
    )
    job["settings"] |= settings
    return job


def test_a_job_names_the_editions_settings_and_what_differs_from_the_defaults():
    assert job_of() == {
        "settings": {
            "num_hiddens": [256], "lr": 0.5, "batch_size": 256, "num_epochs": 10,
            "seed": 1, "hybridize": True,
        },
        "variant": "as published", "split": "official", "release": RELEASE,
    }  # fmt: skip
    assert job_of("scale 0.1")["settings"]["scale"] == 0.1
    assert job_of("lr 0.6")["settings"]["lr"] == 0.6
    # Epochs are those of the longest edition of the model.
    editions = list(EDITIONS.values())
    short = make_job(EDITIONS["zh-2018-08"], editions, 1, OFFICIAL, RELEASE)
    assert short == job_of()
    linear = make_job(EDITIONS["softmax-zh-2018-12"], editions, 1, OFFICIAL, RELEASE)
    assert linear["settings"]["num_epochs"] == 5
    assert set(linear["settings"]) <= set(asdict(Settings()))


def test_a_job_is_a_run_in_both_averages():
    small = {"num_hiddens": [8], "num_epochs": 2}
    result = train(job_of(**small))
    settings = Settings((8,), num_epochs=2, seed=1, hybridize=True)
    for metric in ("sample", "batch"):
        run = Run(Settings(**vars(settings) | {"train_metric": metric}))
        for i, epoch in enumerate(run.epochs()):
            found = [
                result["curves"][name][i]
                for name in (f"loss_{metric}", f"accuracy_{metric}", "test_accuracy")
            ]
            expected = [epoch.train_loss, epoch.train_accuracy, epoch.test_accuracy]
            assert found == pytest.approx(expected, abs=1e-6)
    assert result["diverged"] is False
    assert result["versions"]["mxnet"] == "1.9.1"
    assert train(job_of(**small)) == result
    assert train(job_of(split=RESPLIT, **small)) != result


def test_a_diverged_job_says_so_and_keeps_what_it_had():
    result = train(job_of(num_hiddens=[8], num_epochs=3, lr=1e38))
    assert result["diverged"] is True
    assert len(result["curves"].get("test_accuracy", [])) < 3
