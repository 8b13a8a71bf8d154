"""Ctrl-C: what every command makes of it, from the first line of Python on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

#: Exit code of what SIGINT has ended, as shells have it.
STOPPED = 128 + signal.SIGINT
#: Seconds after which an interruption that was lost is repeated.
REPEAT = 0.5


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
        # Its reader was stopped by the same keys; or this fell into a write to it.
        with suppress(OSError, RuntimeError):
            stream.flush()
    os._exit(STOPPED)


def end_at_once() -> None:
    """Have Ctrl-C end this process while there is nothing to be kept or put away.

    No exception tells of it: libraries swallow one while they are imported, or make
    another of it, and some one in fifty was lost so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Else who started this process has chosen so, as shells do for "&".
        signal.signal(signal.SIGINT, _end)


@contextmanager
def raising(words: Callable[[], str] | None = None) -> Iterator[None]:
    """Have Ctrl-C raise ``KeyboardInterrupt`` in the body, which has to clean up.

    Nothing changes where ``end_at_once`` has not been called: in a program of others,
    a worker process, or a thread.

    Args:
        words: says what stays, for the line that ends the process.
    """
    heeded = signal.getsignal(signal.SIGINT) is _end
    if heeded := heeded and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _raise)
        sys.unraisablehook = _tell_unless_interrupted
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*([words()] if words else stop.args)) from None
    finally:
        if heeded:
            signal.signal(signal.SIGINT, _end)


def ignore() -> None:
    """Let Ctrl-C do nothing, when all is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    end()


def _raise(number: int, frame: object) -> None:
    """Interrupt, and again if that is lost, as in the destructor of an array."""
    again = threading.Timer(REPEAT, _interrupt_again)
    again.daemon = True
    again.start()
    raise KeyboardInterrupt


def _interrupt_again() -> None:
    if signal.getsignal(signal.SIGINT) is _raise:
        # To the main thread, which may have begun to wait for something.
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)


def _tell_unless_interrupted(lost: Any) -> None:
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
