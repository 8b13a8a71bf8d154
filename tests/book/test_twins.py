from d2l_mlp.book import twins

import pytest


@pytest.fixture(scope="module")
def found(fashion_mnist):
    return {(t.name, t.num_batches): t for t in twins.compare_twins(fashion_mnist)}


def test_gluonbooks_own_loop_gives_the_same_bits(found):
    for num_batches in (1, 235):
        twin = found["gluonbook train_ch3", num_batches]
        assert (twin.loss, twin.gradient, twin.parameter) == (0, 0, 0)


def test_gluons_layers_give_the_same_arithmetic(found):
    twin = found["Gluon nn.Sequential", 1]
    assert twin.loss < 1e-6 and twin.gradient < 1e-7 and twin.parameter < 1e-7
    grown = found["Gluon nn.Sequential", 235]
    # At a learning rate of 0.5 the last bit's difference grows, but not the loss's.
    assert grown.loss < 0.02


def test_a_twin_that_differs_shows(fashion_mnist, monkeypatch):
    def other_rate(batches, loss):
        with monkeypatch.context() as patch:
            patch.setattr(twins, "LR", 0.4)
            return original(batches, loss)

    original = twins._by_gluon
    monkeypatch.setattr(twins, "_by_gluon", other_rate)
    first = twins.compare_twins(fashion_mnist)[0]
    assert first.parameter > 1e-4 and first.loss < 1e-6
