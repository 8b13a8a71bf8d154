from d2l_mlp.chapter import model as models
from d2l_mlp.static_graph import graph, rewrites

from mxnet import nd
from tracing import operators, traced


def test_the_rewrites_put_faster_operators_in_place():
    params = models.init_params((8, 6))
    found = traced(params)
    names = [graph.name_of(param) for param in params]
    rewrites.rewrite(found, set(names))
    assert operators(found) == [
        "FullyConnected", "Activation", "FullyConnected", "Activation",
        "FullyConnected", "log_softmax", "pick", "_mul_scalar", "sum", "BlockGrad",
    ]  # fmt: skip
    assert found.transposed == set(names[::2])
    assert found.shapes[names[0]] == (8, 784)
    assert found.shapes[found.X] == (4, 784)


def test_weights_that_may_not_move_stay():
    params = models.init_params(8)
    found = traced(params)
    rewrites.rewrite(found, set())
    assert operators(found)[:2] == ["dot", "broadcast_add"]
    assert not found.transposed


def test_products_of_another_kind_stay():
    """A weight used twice, on the left, transposed, or itself computed."""
    W, V = nd.random.normal(shape=(784, 10)), nd.random.normal(shape=(10, 10))
    for array in (W, V):
        array.attach_grad()

    def net(X):
        X = X.reshape((-1, 784))
        H = nd.dot(X, W) + nd.dot(W, X, transpose_a=True, transpose_b=True).T
        return nd.dot(V, nd.dot(H, 2 * V).T).T

    found = traced([W, V], net)
    before = operators(found)
    rewrites.rewrite(found, {graph.name_of(W), graph.name_of(V)})
    assert operators(found).count("dot") == before.count("dot") == 4
    assert not found.transposed
