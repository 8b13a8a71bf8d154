"""The same training loop over MXNet's KVStore: each worker learns from its share.

with join("dist_sync") as workers:  # in a server or the scheduler this never returns
    data = load_data_fashion_mnist(256, part=workers.part)
    for result in Run(settings, data, workers).epochs():
        ...                         # the same result in every worker
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.kvstore.kvstore_server import KVStoreServer

from ..chapter.step import LearningRate
from ..chapter.train import sgd
from ..runs.run import Run
from . import heartbeat as watch

KINDS = ("local", "dist_sync", "dist_async")


def join(kind: str | None) -> Workers:
    """Become what MXNet's launcher wants of this process.

    A server or the scheduler serves until the workers are done, and exits; a worker
    waits until all processes of the run are there.

    Args:
        kind: ``"local"`` for one process alone; ``"dist_sync"``: gradients are summed
            over all workers before anyone goes on; ``"dist_async"``: nobody waits.

    Raises:
        ValueError: another ``kind``, or one that the launcher's variables do not fit.
    """
    role = os.environ.get("DMLC_ROLE")
    if kind not in ("dist_sync", "dist_async") and role is not None:
        raise ValueError(
            f"kvstore: found {kind} in one of several processes (DMLC_ROLE is {role}), "
            "expected dist_sync or dist_async"
        )
    if kind not in KINDS:
        raise ValueError(f"kvstore: found {kind}, expected {', '.join(KINDS)}")
    if kind == "local":
        return Workers(mx.kv.create(kind))
    if role is None:
        raise ValueError(
            f"kvstore: found {kind} in a process without a role (DMLC_ROLE), "
            "expected one that was started by the launcher: "
            f"python -m d2l_mlp launch --num-workers 2 -- book --kvstore {kind}"
        )
    watch.prepare()
    if role != "worker":
        _serve(role)
    guard = watch.Watch("worker")
    store = mx.kv.create(kind)
    guard.who = f"worker {store.rank}"
    guard.store = store
    return Workers(store, guard)


def _serve(role: str) -> NoReturn:
    guard = watch.Watch(role)
    guard.store = mx.kv.create("dist")
    KVStoreServer(guard.store).run()
    raise SystemExit(0)


class Workers:
    """All workers of a run, as one of them sees them; a context to work in.

    A worker that leaves it by an error does not wait for the others.

    Args:
        store: a new KVStore.
        guard: looks after the peers.

    Attributes:
        rank: which of the workers this is, from 0.
        num_workers: how many there are.
    """

    def __init__(self, store: mx.kv.KVStore, guard: watch.Watch | None = None) -> None:
        self.rank: int = store.rank
        self.num_workers: int = store.num_workers
        self._store, self._guard, self._num_keys = store, guard, 0
        self._adds = "async" in store.type
        if self._adds:
            # Only with an optimizer does a server take what comes without waiting for
            # all. This one adds: param - (-1) * what the worker has sent.
            if self.rank == 0:
                store.set_optimizer(mx.optimizer.SGD(learning_rate=-1.0, wd=0.0))
            store._barrier()

    @property
    def part(self) -> tuple[int, int]:
        """Return this worker's share of each batch, as ``BatchLoader`` wants it."""
        return self.rank, self.num_workers

    def make_trainer(self, run: Run) -> KVStoreTrainer:
        """Return what updates ``run`` by the gradients of all workers."""
        return KVStoreTrainer(
            run.arrays, self, run.lr, run.settings.wd, run.num_updates
        )

    def share(self, arrays: Sequence[nd.NDArray]) -> list[int]:
        """Give all workers rank 0's ``arrays``; return the keys they are kept under."""
        keys = list(range(self._num_keys, self._num_keys + len(arrays)))
        self._num_keys += len(arrays)
        self._store.init(keys, list(arrays))
        self._store.pull(keys, out=list(arrays))
        return keys

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all workers of float64 ``values`` of one shape."""
        array = nd.array(values, dtype="float64")
        total = nd.zeros_like(array)
        # Under a key of its own: in dist_async a server adds to what a key holds.
        keys = self.share([total])
        self._store.push(keys, [array])
        self._store._barrier()
        self._store.pull(keys, out=[total])
        return total.asnumpy()

    def descend(
        self,
        keys: list[int],
        params: list[nd.NDArray],
        lr: float,
        batch_size: int,
        wd: float,
    ) -> None:
        """Step as ``sgd`` does, over the summed gradients of ``params``.

        In dist_async: from where the servers are, by this worker's gradients alone, and
        ``params`` become what is there by then, others' steps included.
        """
        gradients = [param.grad for param in params]
        if self._adds:
            before = [param.copy() for param in params]
            sgd(params, lr, batch_size, wd)
            moves = [new - old for new, old in zip(params, before, strict=True)]
            self._store.push(keys, moves)
            self._store.pull(keys, out=params)
        else:
            self._store.pushpull(keys, gradients, out=gradients)
            sgd(params, lr, batch_size, wd)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._guard is None:
            return
        if error is not None:
            watch.end_at_exit()
            return
        self._store._barrier()
        last = self._guard.stop()
        # Freed, it leaves the others in good order.
        del self._store
        last.cancel()


class KVStoreTrainer:
    """Steps over the gradients of all workers, in the place of a ``gluon.Trainer``.

    Args:
        params: arrays with gradients attached; they become rank 0's.
        workers: who takes part; each makes the same trainers, in the same order.
        lr: learning rate, or its schedule.
        wd: weight decay, see ``sgd``.
        num_updates: how many were made before.
    """

    def __init__(
        self,
        params: Sequence[nd.NDArray],
        workers: Workers,
        lr: LearningRate,
        wd: float = 0.0,
        num_updates: int = 0,
    ) -> None:
        self._params, self._workers = list(params), workers
        self._lr, self._wd, self._num_updates = lr, wd, num_updates
        self._keys = workers.share(self._params)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return self._lr(self._num_updates) if callable(self._lr) else self._lr

    def step(self, batch_size: int) -> None:
        """Descend once; ``batch_size`` is that of the whole batch, over all workers."""
        self._workers.descend(
            self._keys, self._params, self.learning_rate, batch_size, self._wd
        )
        self._num_updates += 1
