"""The same training loop over MXNet's KVStore: each worker learns from its share.

with join("dist_sync") as workers:  # in a server or the scheduler this never returns
    data = load_data_fashion_mnist(256, part=workers.part)
    for result in Run(settings, data, workers).epochs():
        ...                         # the same result in every worker
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.kvstore.kvstore_server import KVStoreServer

from ..chapter.train import sgd
from ..runs.run import Run
from .heartbeat import Heartbeat

_TOGETHER = ("dist_sync", "dist_async")


def join(kind: str | None) -> Workers:
    """Take the role that MXNet's launcher gives this process by ``DMLC_ROLE``.

    A server or the scheduler serves until the workers are done, and exits. A worker
    waits until all processes of the run are there.

    Args:
        kind: ``"local"``: this process alone; ``"dist_sync"``: the gradients of all
            workers are summed before anyone goes on; ``"dist_async"``: nobody waits.

    Raises:
        ValueError: another ``kind``, or one that does not fit the role.
    """
    role = os.environ.get("DMLC_ROLE")
    if role is not None and kind not in _TOGETHER:
        raise ValueError(
            f"kvstore: found {kind} in one of several processes (DMLC_ROLE is {role}), "
            f"expected {' or '.join(_TOGETHER)}"
        )
    if kind == "local":
        return Workers(mx.kv.create(kind))
    if kind not in _TOGETHER:
        expected = ", ".join(("local", *_TOGETHER))
        raise ValueError(f"kvstore: found {kind}, expected {expected}")
    if role is None:
        raise ValueError(
            f"kvstore: found {kind} in a process without a role (DMLC_ROLE), "
            "expected one that was started by the launcher: "
            f"python -m d2l_mlp launch --num-workers 2 -- book --kvstore {kind}"
        )
    heartbeat = Heartbeat(role)
    if role != "worker":
        heartbeat.store = mx.kv.create("dist")
        KVStoreServer(heartbeat.store).run()
        raise SystemExit(0)
    store = mx.kv.create(kind)
    heartbeat.who = f"worker {store.rank}"
    heartbeat.store = store
    return Workers(store, heartbeat)


class Workers:
    """All workers of a run, as one of them sees them; a context to work in.

    A worker whose context ends by an error does not wait for the others.

    Args:
        store: a new KVStore.
        heartbeat: what ends this process when a peer is dead; None without peers.

    Attributes:
        rank: this worker's number, from 0.
        num_workers: how many there are.
    """

    def __init__(self, store: mx.kv.KVStore, heartbeat: Heartbeat | None = None):
        self.rank: int = store.rank
        self.num_workers: int = store.num_workers
        self._store, self._heartbeat, self._num_keys = store, heartbeat, 0
        self._adds = "async" in store.type
        if self._adds:
            # Without an optimizer a server waits for the gradients of all workers. This
            # one adds what a worker sends: param - (-1) * sent.
            if self.rank == 0:
                store.set_optimizer(mx.optimizer.SGD(learning_rate=-1.0, wd=0.0))
            store._barrier()

    @property
    def part(self) -> tuple[int, int]:
        """This worker's share of each batch, as ``BatchLoader`` takes it."""
        return self.rank, self.num_workers

    def make_trainer(self, run: Run) -> KVStoreTrainer:
        """Return what updates ``run`` by the gradients of all workers."""
        return KVStoreTrainer(run, self)

    def share(self, arrays: Sequence[nd.NDArray]) -> list[int]:
        """Give all workers rank 0's ``arrays``; return the keys that hold them."""
        keys = list(range(self._num_keys, self._num_keys + len(arrays)))
        self._num_keys += len(arrays)
        self._store.init(keys, list(arrays))
        self._store.pull(keys, out=list(arrays))
        return keys

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all workers of float64 ``values`` of one shape."""
        array = nd.array(values, dtype="float64")
        total = nd.zeros_like(array)
        # Under a new key: in dist_async a server adds to what a key holds.
        keys = self.share([total])
        self._store.push(keys, [array])
        self._store._barrier()
        self._store.pull(keys, out=[total])
        return total.asnumpy()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._heartbeat is None:
            return
        if kind is not None:
            # MXNet's own way out waits for the others. The last registered runs first.
            atexit.register(os._exit, 1)
            atexit.register(sys.stdout.flush)
            return
        self._store._barrier()
        timer = self._heartbeat.stop()
        # Freed, it takes leave of the others.
        del self._store
        timer.cancel()


class KVStoreTrainer:
    """Updates by the gradients of all workers, in the place of a ``gluon.Trainer``.

    Args:
        run: what it updates; its arrays become rank 0's.
        workers: who takes part; each makes the same trainers, in the same order.
    """

    def __init__(self, run: Run, workers: Workers) -> None:
        self._params, self._lr, self._wd = run.arrays, run.lr, run.settings.wd
        self._num_updates = run.num_updates
        self._workers, self._keys = workers, workers.share(self._params)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next update."""
        return self._lr(self._num_updates) if callable(self._lr) else self._lr

    def step(self, batch_size: int) -> None:
        """Update as ``sgd`` does, by the sum of all workers' gradients.

        In dist_async: by this worker's gradients alone. The servers add its step to the
        parameters that they hold; it takes over the sum, and with it what others have
        added by then.

        Args:
            batch_size: of the whole batch, over all workers.
        """
        params, store = self._params, self._workers._store
        lr = self.learning_rate
        if self._workers._adds:
            before = [param.copy() for param in params]
            sgd(params, lr, batch_size, self._wd)
            steps = [new - old for new, old in zip(params, before, strict=True)]
            store.push(self._keys, steps)
            store.pull(self._keys, out=params)
        else:
            gradients = [param.grad for param in params]
            store.pushpull(self._keys, gradients, out=gradients)
            sgd(params, lr, batch_size, self._wd)
        self._num_updates += 1
