"""No process waits for a dead one: each looks after its peers, and ends without them.

ps-lite, under MXNet's KVStore, waits for ever for a peer that has died. But its
scheduler hears every peer's heart beat, and every peer hears the scheduler's; who is
missed is only asked for here. A peer that dies so takes the scheduler with it, and the
scheduler, on this machine or another, all others.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time

import mxnet as mx
from mxnet.base import _LIB, check_call

#: Seconds between heartbeats, and after how many without one a peer is dead: enough for
#: a busy machine, and twice as many (peer, scheduler, others) are less than 30.
INTERVAL, TIMEOUT = 1, 9
#: Seconds until all processes of a run have found each other.
PATIENCE = 120
#: Seconds for leaving them, when all have said that they are done.
FAREWELL = 20

# Groups of processes, as ps-lite numbers them.
SCHEDULER, SERVERS, WORKERS = 1, 2, 4
# A timeout that everyone has outlasted: so many peers there are.
EVERYONE = -1


def prepare() -> None:
    """Set what ps-lite reads when it starts, where the user has not."""
    os.environ.setdefault("PS_HEARTBEAT_INTERVAL", str(INTERVAL))
    os.environ.setdefault("PS_HEARTBEAT_TIMEOUT", str(TIMEOUT))
    # It would listen on that port, in every process, though it was meant for others.
    os.environ.pop("PORT", None)


class Watch:
    """A thread that ends this process, code 1, when it waits for the dead.

    Args:
        who: this process, for the message.

    Attributes:
        store: the KVStore; None until there is one.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.store: mx.kv.KVStore | None = None
        self._timeout = int(os.environ["PS_HEARTBEAT_TIMEOUT"])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> threading.Timer:
        """Look no more; return what ends this process all the same, unless cancelled.

        For the last steps of leaving, where the store that is asked goes away.
        """
        self._stop.set()
        self._thread.join()
        self.store = None
        last = threading.Timer(FAREWELL, self._end, ["the others do not let go"])
        last.daemon = True
        last.start()
        return last

    def _watch(self) -> None:
        deadline = time.monotonic() + PATIENCE
        dead: list[str] = []
        met = False
        while not self._stop.wait(INTERVAL):
            if not self._count(SCHEDULER | SERVERS | WORKERS, EVERYONE):
                # Once met, nobody is left only where all have let go.
                if not met and time.monotonic() > deadline:
                    self._end(f"not all processes of the run came within {PATIENCE} s")
                continue
            met = True
            # Twice, since nobody has been heard yet in the moment when all are there.
            before, dead = dead, self._dead()
            if before and dead:
                self._end(f"{' and '.join(dead)}: no heartbeat for {self._timeout} s")

    def _dead(self) -> list[str]:
        names = {SCHEDULER: "the scheduler", SERVERS: "server", WORKERS: "worker"}
        found = []
        for group, name in names.items():
            n = self._count(group, self._timeout)
            if n:
                found.append(f"{n} {name}{'s' * (n > 1)}" if group > 1 else name)
        return found

    def _count(self, group: int, timeout: int) -> int:
        # Without workers ps-lite is not running: asked now, it would crash.
        if self.store is None or not self.store.num_workers:
            return 0
        n = ctypes.c_int()
        try:
            check_call(
                _LIB.MXKVStoreGetNumDeadNode(
                    self.store.handle, group, ctypes.byref(n), timeout
                )
            )
        except mx.MXNetError:
            return 0
        return n.value

    def _end(self, cause: str) -> None:
        # The main thread may be anywhere in MXNet, with any lock.
        os.write(2, f"error: {self.who}: {cause}; this process ends\n".encode())
        os._exit(1)


def end_at_exit() -> None:
    """Have this process, once it exits, not wait for its peers: it has failed."""
    import atexit

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    atexit.register(leave)
