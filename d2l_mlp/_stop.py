"""Ctrl-C ends a command with one line and exit code 130.

All that commands keep survives their being killed at any moment, so an interrupt simply
ends the processes. Programs that import the package keep their own way.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import NoReturn

#: Exit code of what SIGINT has ended, as shells have it.
STOPPED = 128 + signal.SIGINT
_SHOW_CURSOR = "\x1b[?25h"
#: It puts away the semaphores of processes that have ended so, and would tell of each.
_QUIET_TRACKER = "ignore:resource_tracker:UserWarning"

#: Files that are being written, to be put away.
unfinished: set[Path] = set()
# What says how to go on, the innermost last.
_hints: list[Callable[[], str]] = []


def end(*_: object) -> NoReturn:
    """End this process and its children at once, with one line.

    Nothing else is run: MXNet's and Python's own ways out bring lines of theirs, and
    libraries swallow an exception while they are imported, or make another of it.
    """
    try:
        # Another one has nothing left to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for child in multiprocessing.active_children():
            child.terminate()
        for path in unfinished:
            with suppress(OSError):
                os.unlink(path)
        words = ""
        # As where the folder that it tells of is gone.
        with suppress(Exception):
            words = f"; {_hints[-1]()}" if _hints else ""
        # A reader may have been stopped by the same keys; or this fell into a write.
        with suppress(OSError, RuntimeError, ValueError):
            if sys.stdout.isatty():
                # A progress bar has hidden it.
                print(_SHOW_CURSOR)
            print(f"stopped{words}", file=sys.stderr, flush=True)
        with suppress(OSError, RuntimeError, ValueError):
            sys.stdout.flush()
    finally:
        os._exit(STOPPED)


def end_at_interrupt() -> None:
    """Have Ctrl-C end this process, unless it is ignored, as behind a shell's &."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)


@contextmanager
def hint(words: Callable[[], str]) -> Iterator[None]:
    """Say how to go on if the body is interrupted: what ``words`` returns then."""
    _hints.append(words)
    try:
        yield
    finally:
        _hints.pop()


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Block Ctrl-C in the processes that are started in the body, for good.

    A terminal sends it to all of them. They leave it to this one, which ends them.
    """
    # Now, since it unblocks the signal when it starts.
    sys.warnoptions.append(_QUIET_TRACKER)
    resource_tracker.ensure_running()
    sys.warnoptions.remove(_QUIET_TRACKER)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Ignore Ctrl-C, when all is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with_parent() -> None:
    """Have this process, which multiprocessing has started, end with the one before it.

    By a thread: the system's own signal comes when the thread ends that started it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
