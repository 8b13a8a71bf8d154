"""gluonbook 0.8.10 as published: its loader with four workers, its train_ch3."""

import contextlib
import io
import re

import gluonbook
import numpy as np
from common import Work, serve
from mxnet import nd
from mxnet.gluon import loss as gloss
from mxnet.gluon.data.vision import datasets


class Gluonbook:
    """The chapter's program; its epoch has a test pass."""

    def __init__(self, work: Work) -> None:
        # The one change: files found here, whose release is not the one it expects.
        datasets.download = lambda url, **_: f"{work.folder}/{url.rpartition('/')[2]}"
        self.work = work
        np.random.seed(work.seed)
        self.iters = gluonbook.load_data_fashion_mnist(work.batch_size)
        self.params = [nd.array(param) for param in work.params()]
        for param in self.params:
            param.attach_grad()
        self.loss = gloss.SoftmaxCrossEntropyLoss()

    def net(self, X: nd.NDArray) -> nd.NDArray:
        W1, b1, W2, b2 = self.params
        H = nd.maximum(nd.dot(X.reshape((-1, 784)), W1) + b1, 0)
        return nd.dot(H, W2) + b2

    def epoch(self) -> tuple[float, float]:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            gluonbook.train_ch3(
                self.net,
                *self.iters,
                self.loss,
                1,
                self.work.batch_size,
                self.params,
                self.work.lr,
            )
        found = re.search(r"loss (\S+), train acc (\S+),", printed.getvalue())
        return float(found[1]), float(found[2])

    def test(self) -> float:
        return gluonbook.evaluate_accuracy(self.iters[1], self.net)


if __name__ == "__main__":
    serve({"gluonbook": Gluonbook})
