"""JAX: jit for each step, and lax.scan over a whole epoch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from common import Peak, Work, serve


def predict(params, X):
    H = X
    for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        H = jnp.maximum(H @ W + b, 0)
    return H @ params[-2] + params[-1]


def summed_loss(params, X, y):
    scores = predict(params, X)
    picked = jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=1)
    return -picked.sum(), (scores.argmax(axis=1) == y).sum()


def update(params, X, y, step):
    (loss, correct), grads = jax.value_and_grad(summed_loss, has_aux=True)(params, X, y)
    return [p - step * g for p, g in zip(params, grads, strict=True)], (loss, correct)


@partial(jax.jit, donate_argnums=0)
def update_on(params, X, y, batch, step):
    return update(params, X[batch], y[batch], step)


@partial(jax.jit, donate_argnums=0)
def update_over(params, X, y, batches, rest, step):
    params, sums = jax.lax.scan(
        lambda params, batch: update(params, X[batch], y[batch], step), params, batches
    )
    params, last = update(params, X[rest], y[rest], step)
    return params, [part.sum() + end for part, end in zip(sums, last, strict=True)]


class Jax:
    """Pure functions, as in JAX's own examples; ``scan``: one call an epoch."""

    def __init__(self, work: Work, scan: bool = False) -> None:
        self.work, self.scan = work, scan
        self.rng = np.random.default_rng(work.seed)
        self.X, self.y, self.test_X, self.test_y = map(jnp.asarray, work.data())
        self.params = [jnp.asarray(param) for param in work.params()]

    def epoch(self) -> tuple[float, float]:
        size, n = self.work.batch_size, len(self.y)
        step = self.work.lr / size
        order = self.rng.permutation(n).astype(np.int32)
        if self.scan:
            whole = n // size * size
            batches = order[:whole].reshape(-1, size)
            self.params, sums = update_over(
                self.params, self.X, self.y, batches, order[whole:], step
            )
        else:
            parts = []
            for start in range(0, n, size):
                batch = order[start : start + size]
                self.params, both = update_on(self.params, self.X, self.y, batch, step)
                parts.append(both)
            sums = [sum(part) for part in zip(*parts, strict=True)]
        return float(sums[0]) / n, float(sums[1]) / n

    def test(self) -> float:
        scores = predict(self.params, self.test_X)
        return float((scores.argmax(axis=1) == self.test_y).mean())


if __name__ == "__main__":
    serve(
        {
            "jax": Jax,
            "jax scan": lambda work: Jax(work, scan=True),
            "peak": lambda work: Peak(
                jnp.asarray, lambda A, B: (A @ B).block_until_ready()
            ),
        }
    )
