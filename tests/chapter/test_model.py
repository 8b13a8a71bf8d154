from d2l_mlp.chapter import model as models
from d2l_mlp.chapter.step import seed_everything
from d2l_mlp.chapter.train import sgd

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mxnet import autograd, gluon, nd
from mxnet.gluon import loss as gloss

loss = gloss.SoftmaxCrossEntropyLoss()


def gradients_by_numpy(params, X, y):
    """Back-propagation written out, in float64, for any number of hidden layers."""
    weights, biases = params[::2], params[1::2]
    inputs = [X]
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        inputs.append(np.maximum(inputs[-1] @ W + b, 0))
    scores = inputs[-1] @ weights[-1] + biases[-1]
    delta = np.exp(scores - scores.max(axis=1, keepdims=True))
    delta /= delta.sum(axis=1, keepdims=True)
    delta[np.arange(len(y)), y] -= 1
    gradients = []
    for W, H in zip(weights[::-1], inputs[::-1], strict=True):
        gradients += [delta.sum(axis=0), H.T @ delta]
        delta = (delta @ W.T) * (H > 0)
    return gradients[::-1]


def summed_loss(params, X, y):
    H = X
    for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        H = np.maximum(H @ W + b, 0)
    scores = H @ params[-2] + params[-1]
    top = scores.max(axis=1)
    total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    return (total - scores[np.arange(len(y)), y]).sum()


@st.composite
def problems(draw):
    """Parameters and a batch in float64, no unit near ReLU's kink."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    sizes[-1] += 1
    batch = draw(st.integers(1, 7))
    scale = draw(st.floats(0.1, 1.0))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    params = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        params += [rng.normal(0, scale, (inputs, outputs)), rng.normal(0, 1, outputs)]
    X, y = rng.random((batch, sizes[0])), rng.integers(0, sizes[-1], batch)
    H = X
    for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        H = H @ W + b
        assume(np.abs(H).min() > 1e-3)
        H = np.maximum(H, 0)
    return params, X, y


def gradients_by_autograd(params, X, y):
    arrays = [nd.array(param) for param in params]
    for array in arrays:
        array.attach_grad()
    with autograd.record():
        value = loss(models.make_net(arrays)(nd.array(X)), nd.array(y)).sum()
    value.backward()
    return [array.grad.asnumpy() for array in arrays]


@given(problems())
@settings(max_examples=60, deadline=None)
def test_gradients_are_those_of_the_derivation(problem):
    params, X, y = problem
    for found, expected in zip(
        gradients_by_autograd(*problem), gradients_by_numpy(params, X, y), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4)


@given(problems())
@settings(max_examples=40, deadline=None)
def test_gradients_are_central_differences(problem):
    params, X, y = problem
    found = gradients_by_autograd(*problem)
    eps = 1e-6
    for param, gradient in zip(params, found, strict=True):
        for index in np.ndindex(gradient.shape):
            around = []
            for step in (eps, -eps):
                param[index] += step
                around.append(summed_loss(params, X, y))
                param[index] -= step
            difference = (around[0] - around[1]) / (2 * eps)
            assert gradient[index] == pytest.approx(difference, rel=1e-3, abs=2e-4)


def test_the_chapters_four_gradients_on_real_images(fashion_mnist):
    seed_everything(0)
    params = models.init_params()
    X = fashion_mnist.train_images[:256] / np.float32(255)
    y = fashion_mnist.train_labels[:256]
    as_float64 = [param.asnumpy().astype(np.float64) for param in params]
    expected = gradients_by_numpy(as_float64, X.reshape(256, 784), y)
    with autograd.record():
        value = loss(models.make_net(params)(nd.array(X)), nd.array(y)).sum()
    value.backward()
    for param, gradient in zip(params, expected, strict=True):
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(param.grad.asnumpy(), gradient, atol=1e-5 * scale)


def test_relu_is_the_larger_of_each_element_and_0():
    X = nd.array([[-1.5, 0, 2], [np.inf, -np.inf, 0.5]])
    expected = [[0, 0, 2], [np.inf, 0, 0.5]]
    np.testing.assert_array_equal(models.relu(X).asnumpy(), expected)


def test_init_params_draws_as_the_chapter_does():
    seed_everything(3)
    W1 = nd.random.normal(scale=0.01, shape=(784, 256))
    W2 = nd.random.normal(scale=0.01, shape=(256, 10))
    seed_everything(3)
    params = models.init_params()
    expected = [W1, nd.zeros(256), W2, nd.zeros(10)]
    for param, drawn in zip(params, expected, strict=True):
        np.testing.assert_array_equal(param.asnumpy(), drawn.asnumpy())
        assert param.grad.shape == param.shape
        assert param.dtype == np.float32


@pytest.mark.parametrize(
    ("num_hiddens", "shapes"),
    [
        ((), [(784, 10), (10,)]),
        (7, [(784, 7), (7,), (7, 10), (10,)]),
        (np.int64(7), [(784, 7), (7,), (7, 10), (10,)]),
        ([8, 4], [(784, 8), (8,), (8, 4), (4,), (4, 10), (10,)]),
    ],
)
def test_any_number_of_hidden_layers(num_hiddens, shapes):
    params = models.init_params(num_hiddens)
    assert [param.shape for param in params] == shapes
    assert models.make_net(params)(nd.ones((3, 1, 28, 28))).shape == (3, 10)


@pytest.mark.parametrize("num_hiddens", [0, -1, (16, 0), (2.5,), "256", None, True])
def test_a_layer_without_units_is_refused(num_hiddens):
    with pytest.raises(ValueError, match="num_hiddens: found .*, expected a whole"):
        models.init_params(num_hiddens)


@pytest.mark.parametrize("num_hiddens", [(), (256,), (64, 32)])
def test_the_gluon_twin_keeps_within_1e5_for_50_steps(fashion_mnist, num_hiddens):
    # At 0.5 some starts pass through a spike of the loss, which multiplies a
    # difference in the last bit; at 0.1 the steps are stable, and the sums count.
    lr = 0.1
    seed_everything(1)
    params = models.init_params(num_hiddens)
    net, twin = models.make_net(params), models.gluon_twin(params)
    trainer = gluon.Trainer(twin.collect_params(), "sgd", {"learning_rate": lr})
    images = nd.array(fashion_mnist.train_images[: 50 * 256] / np.float32(255))
    labels = nd.array(fashion_mnist.train_labels[: 50 * 256])
    for start in range(0, 50 * 256, 256):
        X, y = images[start : start + 256], labels[start : start + 256]
        losses = []
        for model in (net, twin):
            with autograd.record():
                losses.append(loss(model(X), y).sum())
            losses[-1].backward()
        sgd(params, lr, 256)
        trainer.step(256)
        assert losses[0].asscalar() / 256 == pytest.approx(
            losses[1].asscalar() / 256, abs=1e-5
        )
    for layer, W, b in zip(twin, params[::2], params[1::2], strict=True):
        np.testing.assert_allclose(
            layer.weight.data().asnumpy().T, W.asnumpy(), atol=1e-5
        )
        np.testing.assert_allclose(layer.bias.data().asnumpy(), b.asnumpy(), atol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        models.init_params(9),
        models.init_params(()),
        [nd.zeros((784, 8)), nd.zeros(7), nd.zeros((8, 10)), nd.zeros(10)],
    ],
)
def test_load_params_refuses_other_shapes(params):
    twin = models.gluon_twin(models.init_params(8))
    with pytest.raises(ValueError, match=r"found shapes .* expected .*784, 8"):
        models.load_params(twin, params)


def test_load_params_passes_over_layers_without_weights():
    twin = gluon.nn.Sequential()
    twin.add(gluon.nn.Dense(8, in_units=784), gluon.nn.Activation("relu"))
    twin.add(gluon.nn.Dense(10, in_units=8))
    twin.initialize()
    params = models.init_params(8)
    # Of a generator as well, which gives them once.
    models.load_params(twin, (param for param in params))
    X = nd.random.uniform(shape=(5, 784))
    expected = models.make_net(params)(X).asnumpy()
    np.testing.assert_allclose(twin(X).asnumpy(), expected, atol=1e-6)
