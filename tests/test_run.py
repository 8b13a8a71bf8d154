from d2l_mlp.run import Run, Settings, headline

import numpy as np
import pytest


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
