"""A process whose peers have died ends, and does not wait for them.

ps-lite, under MXNet's KVStore, waits for ever for a dead peer. But its scheduler hears
every peer's heartbeat, and every peer hears the scheduler's; here each process asks
ps-lite once a second who is missing. So the death of one peer ends the scheduler, and
the scheduler's end, on this machine or another, ends all others.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time

import mxnet as mx
from mxnet.base import _LIB, check_call

#: Seconds between heartbeats, and after how many without one a peer is dead: enough for
#: a busy machine, and all have ended within 30, twice that time and a bit.
INTERVAL, TIMEOUT = 1, 9
#: Seconds that the processes of a run have to find each other.
PATIENCE = 120
#: Seconds that leaving the others may take.
FAREWELL = 20

# ps-lite's numbers for its groups of processes, and what a message calls them.
GROUPS = {1: "the scheduler", 2: "{} server(s)", 4: "{} worker(s)"}
EVERYONE = sum(GROUPS)
# A timeout that has always passed: asked with it, ps-lite counts all peers.
NO_TIME = -1


class Heartbeat:
    """A thread that ends this process, with code 1, when a peer is dead.

    Start it before the KVStore: it also ends a process whose peers never come.

    Args:
        who: what messages call this process.

    Attributes:
        store: the KVStore; None until there is one.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.store: mx.kv.KVStore | None = None
        # ps-lite reads them when it starts.
        os.environ.setdefault("PS_HEARTBEAT_INTERVAL", str(INTERVAL))
        self._timeout = int(os.environ.setdefault("PS_HEARTBEAT_TIMEOUT", str(TIMEOUT)))
        # Every process would listen on this port, which is meant for other programs.
        os.environ.pop("PORT", None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> threading.Timer:
        """Stop before the KVStore is freed; cancel the returned timer after that.

        Unless cancelled, the timer ends this process: freeing waits for the others.
        """
        self._stop.set()
        self._thread.join()
        self.store = None
        timer = threading.Timer(FAREWELL, self._end, ["the others do not let go"])
        timer.daemon = True
        timer.start()
        return timer

    def _run(self) -> None:
        deadline = time.monotonic() + PATIENCE
        dead: list[str] = []
        met = False
        while not self._stop.wait(INTERVAL):
            if not self._count(EVERYONE, NO_TIME):
                # Later, having met, there is nobody only once all have left.
                if not met and time.monotonic() > deadline:
                    self._end(f"not all processes of the run came within {PATIENCE} s")
                continue
            met = True
            # Twice: when all have just met, none has sent a heartbeat yet.
            counts = {group: self._count(group, self._timeout) for group in GROUPS}
            before = dead
            dead = [GROUPS[group].format(n) for group, n in counts.items() if n]
            if before and dead:
                self._end(f"{' and '.join(dead)}: no heartbeat for {self._timeout} s")

    def _count(self, group: int, timeout: int) -> int:
        """Return how many of ``group`` have been silent for ``timeout`` seconds."""
        # While there are no workers ps-lite is not running, and would crash.
        if self.store is None or not self.store.num_workers:
            return 0
        n = ctypes.c_int()
        arguments = self.store.handle, group, ctypes.byref(n), timeout
        try:
            check_call(_LIB.MXKVStoreGetNumDeadNode(*arguments))
        except mx.MXNetError:
            return 0
        return n.value

    def _end(self, cause: str) -> None:
        # At once: the main thread may be anywhere in MXNet, with any lock.
        os.write(2, f"error: {self.who}: {cause}; this process ends\n".encode())
        os._exit(1)
