"""Ctrl-C: what every command makes of it, from the first line of Python on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from typing import Any, NoReturn

#: Exit code of what SIGINT has ended, as shells have it.
STOPPED = 128 + signal.SIGINT


def end(*why: object) -> NoReturn:
    """End this process and its children at once, with one line.

    Nothing else is run: MXNet's and Python's own ways out bring lines of theirs, and
    Python's another exit code once ``exec`` was interrupted, as imports use it.
    """
    # Another one has nothing left to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for child in multiprocessing.active_children():
        child.terminate()
    print("; ".join(["stopped", *map(str, why)]), file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Its reader was stopped by the same keys.
            continue
    os._exit(STOPPED)


def end_at_once() -> None:
    """Have Ctrl-C end this process while there is nothing to be kept."""
    if _is_heeded():
        signal.signal(signal.SIGINT, lambda number, frame: end())


def interrupt() -> None:
    """Have Ctrl-C raise ``KeyboardInterrupt``, wherever it falls."""
    if _is_heeded():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = _repeat_if_lost


def ignore() -> None:
    """Let Ctrl-C do nothing, when all is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_heeded() -> bool:
    # Not where who started this process has chosen otherwise, as shells do for "&".
    return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def _repeat_if_lost(lost: Any) -> None:
    """Interrupt again if an interruption fell into a destructor, which raises nothing.

    MXNet's arrays have one, so that it is not rare.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        # Not at once, in here, where it would be lost again; and to the main thread,
        # which may have begun to wait for something.
        main = threading.main_thread().ident
        again = threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)
