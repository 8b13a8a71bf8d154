from d2l_mlp.chapter import model as models
from d2l_mlp.static_graph import graph

from mxnet import nd
from tracing import operators, traced


def test_a_trace_holds_the_nets_operators_and_arrays():
    params = models.init_params(8)
    found = traced(params)
    assert operators(found) == [
        "Reshape", "dot", "broadcast_add", "_maximum_scalar", "dot", "broadcast_add",
        "log_softmax", "pick", "_mul_scalar", "mean", "sum", "BlockGrad",
    ]  # fmt: skip
    names = [graph.name_of(param) for param in params]
    assert set(found.arrays) == set(names)
    assert all(found.arrays[n] is p for n, p in zip(names, params, strict=True))
    assert not found.is_random()


def test_dropout_is_random():
    params = models.init_params(())
    net = models.make_net(params)
    assert traced(params, lambda X: net(nd.Dropout(X, p=0.5))).is_random()
