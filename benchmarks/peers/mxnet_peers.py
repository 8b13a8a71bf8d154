"""This project, and Gluon with its own means."""

import d2l_mlp as gb
from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data

import numpy as np
from common import Peak, Work, serve
from mxnet import autograd, gluon, nd

loss = gluon.loss.SoftmaxCrossEntropyLoss()


class Ours:
    """``train_epochs``, as ``python -m d2l_mlp book`` runs it."""

    def __init__(
        self, work: Work, hybridize: bool = False, test_images: int = 0
    ) -> None:
        splits = data.load_fashion_mnist(work.folder)
        n = work.num_images
        batches = (work.batch_size, True)
        train_iter = data.BatchLoader(
            splits.train_images[:n], splits.train_labels[:n], *batches
        )
        self.test_iter = data.BatchLoader(splits.test_images, splits.test_labels, 256)
        # The epoch is timed with a test pass where the peer beside it has one.
        timed = data.BatchLoader(
            splits.test_images[: test_images or 1],
            splits.test_labels[: test_images or 1],
            256,
        )
        gb.seed_everything(work.seed)
        params = [nd.array(param) for param in work.params()]
        for param in params:
            param.attach_grad()
        self.net = models.make_net(params)
        self.epochs = gb.train_epochs(
            self.net,
            train_iter,
            timed,
            loss,
            10**6,
            work.batch_size,
            params,
            work.lr,
            hybridize=hybridize,
        )

    def epoch(self) -> tuple[float, float]:
        result = next(self.epochs)
        return result.train_loss, result.train_accuracy

    def test(self) -> float:
        return gb.evaluate_accuracy(self.test_iter, self.net)


class GluonHybridized:
    """``HybridSequential``, hybridized, and ``Trainer``; engine as this project's."""

    def __init__(self, work: Work) -> None:
        X, y, self.test_X, self.test_y = work.data()
        self.work, self.X, self.y = work, X, y
        self.net = gluon.nn.HybridSequential()
        sizes = (784, *work.num_hiddens)
        for inputs, units in zip(sizes, work.num_hiddens, strict=False):
            self.net.add(gluon.nn.Dense(units, activation="relu", in_units=inputs))
        self.net.add(gluon.nn.Dense(10, in_units=sizes[-1]))
        self.net.initialize()
        models.load_params(self.net, [nd.array(param) for param in work.params()])
        self.net.hybridize(static_alloc=True, static_shape=True)
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        self.loss.hybridize(static_alloc=True, static_shape=True)
        options = {"learning_rate": work.lr}
        self.trainer = gluon.Trainer(self.net.collect_params(), "sgd", options)

    def epoch(self) -> tuple[float, float]:
        order = np.random.permutation(len(self.y))
        losses, correct = [], []
        for start in range(0, len(order), self.work.batch_size):
            batch = order[start : start + self.work.batch_size]
            X, y = nd.from_numpy(self.X[batch]), nd.from_numpy(self.y[batch])
            with autograd.record():
                scores = self.net(X)
                values = self.loss(scores, y)
            values.backward()
            self.trainer.step(self.work.batch_size)
            losses.append(values.sum())
            correct.append((scores.argmax(axis=1) == y.astype("float32")).sum())
        sums = [nd.concat(*parts, dim=0).asnumpy().sum() for parts in (losses, correct)]
        return tuple(float(total) / len(order) for total in sums)

    def test(self) -> float:
        scores = self.net(nd.array(self.test_X)).asnumpy()
        return float((scores.argmax(axis=1) == self.test_y).mean())


def multiply(A: nd.NDArray, B: nd.NDArray) -> None:
    """Multiply by oneDNN, as the graph does."""
    nd.FullyConnected(A, B, no_bias=True, num_hidden=len(B)).wait_to_read()


if __name__ == "__main__":
    serve(
        {
            "peak": lambda work: Peak(nd.array, multiply),
            "plain": Ours,
            "plain, with test pass": lambda work: Ours(work, test_images=10_000),
            "hybridized": lambda work: Ours(work, hybridize=True),
            "gluon": GluonHybridized,
        }
    )
