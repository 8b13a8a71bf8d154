"""NumPy by hand, and scikit-learn's MLPClassifier."""

import warnings

import numpy as np
from common import Peak, Work, serve
from sklearn.neural_network import MLPClassifier


class Numpy:
    """Forward, back-propagation and descent, written out."""

    def __init__(self, work: Work) -> None:
        self.work, self.rng = work, np.random.default_rng(work.seed)
        self.X, self.y, self.test_X, self.test_y = work.data()
        self.params = work.params()

    def epoch(self) -> tuple[float, float]:
        size, n = self.work.batch_size, len(self.y)
        order = self.rng.permutation(n)
        loss, correct = 0.0, 0
        weights, biases = self.params[::2], self.params[1::2]
        for start in range(0, n, size):
            batch = order[start : start + size]
            y, inputs = self.y[batch], [self.X[batch]]
            for W, b in zip(weights[:-1], biases[:-1], strict=True):
                inputs.append(np.maximum(inputs[-1] @ W + b, 0))
            scores = inputs[-1] @ weights[-1] + biases[-1]
            correct += np.count_nonzero(scores.argmax(axis=1) == y)
            rows = np.arange(len(y))
            scores -= scores.max(axis=1, keepdims=True)
            exponents = np.exp(scores)
            totals = exponents.sum(axis=1, keepdims=True)
            loss += float((np.log(totals[:, 0]) - scores[rows, y]).sum())
            delta = exponents / totals
            delta[rows, y] -= 1
            delta *= self.work.lr / size
            for i in range(len(weights) - 1, -1, -1):
                back = delta @ weights[i].T * (inputs[i] > 0) if i else None
                weights[i] -= inputs[i].T @ delta
                biases[i] -= delta.sum(axis=0)
                delta = back
        return loss / n, correct / n

    def test(self) -> float:
        H = self.test_X
        for W, b in zip(self.params[:-2:2], self.params[1:-2:2], strict=True):
            H = np.maximum(H @ W + b, 0)
        scores = H @ self.params[-2] + self.params[-1]
        return float((scores.argmax(axis=1) == self.test_y).mean())


class ScikitLearn:
    """``MLPClassifier.partial_fit``, an epoch a call; it keeps no training accuracy."""

    def __init__(self, work: Work) -> None:
        warnings.simplefilter("ignore")
        self.X, self.y, self.test_X, self.test_y = work.data()
        self.net = MLPClassifier(
            work.num_hiddens,
            solver="sgd",
            alpha=0,
            momentum=0,
            batch_size=work.batch_size,
            learning_rate_init=work.lr,
            random_state=work.seed,
        )

    def epoch(self) -> tuple[float, float]:
        self.net.partial_fit(self.X, self.y, classes=range(10))
        return float(self.net.loss_), float("nan")

    def test(self) -> float:
        return float(self.net.score(self.test_X, self.test_y))


if __name__ == "__main__":
    serve(
        {
            "numpy": Numpy,
            "scikit-learn": ScikitLearn,
            "peak": lambda work: Peak(np.asarray, np.matmul),
        }
    )
