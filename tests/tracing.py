"""A small net's graph, and what is in it."""

from d2l_mlp.chapter import model as models
from d2l_mlp.static_graph import graph

from mxnet import nd
from mxnet.gluon import loss as gloss

X, y = nd.random.uniform(shape=(4, 1, 28, 28)), nd.array([0, 1, 2, 9], dtype="int32")
loss = gloss.SoftmaxCrossEntropyLoss()


def traced(params, net=None):
    """Return the graph of a net for a batch of four."""
    return graph.trace(net or models.make_net(params), loss, params, X, y)


def operators(net_graph):
    """Return the names of its operators, in their order."""
    return [node["op"] for node in net_graph.nodes if node["op"] != "null"]
