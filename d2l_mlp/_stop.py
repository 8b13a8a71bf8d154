"""Ctrl-C: what every command makes of it, from the first line of Python on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, NoReturn

#: Exit code of what SIGINT has ended, as shells have it.
STOPPED = 128 + signal.SIGINT
#: Seconds after which an interruption that was lost is repeated.
REPEAT = 0.5

# Whether there was one in the body of `raising`; and whether the next is a repetition.
_pressed = _repeated = False


def end(*why: object) -> NoReturn:
    """End this process and its children at once, with one line.

    Nothing else is run: MXNet's and Python's own ways out bring lines of theirs, and
    Python's another exit code once ``exec`` was interrupted, as imports use it.
    """
    try:
        # Another one has nothing left to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for child in multiprocessing.active_children():
            child.terminate()
        # A reader may have been stopped by the same keys; or this fell into a write.
        with suppress(OSError, RuntimeError):
            print("; ".join(["stopped", *map(str, why)]), file=sys.stderr, flush=True)
        with suppress(OSError, RuntimeError):
            sys.stdout.flush()
    finally:
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
    global _pressed
    in_main_thread = threading.current_thread() is threading.main_thread()
    outermost = in_main_thread and signal.getsignal(signal.SIGINT) is _end
    if outermost:
        _pressed = False
        signal.signal(signal.SIGINT, _raise)
        sys.unraisablehook = _tell_unless_interrupted
    try:
        yield
        if outermost and _pressed:
            # Something has swallowed it.
            raise KeyboardInterrupt
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*([words()] if words else stop.args)) from None
    finally:
        if outermost:
            signal.signal(signal.SIGINT, _end)


@contextmanager
def withheld() -> Iterator[None]:
    """Withhold Ctrl-C from the processes that are started in the body, for good.

    A terminal sends it to all of them. They leave it to this one, which ends them. Told
    so only once they run, each would show a traceback if it came while they import.
    """
    # It would let the signal through again, in the midst of the first start.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Let Ctrl-C do nothing, when all is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    end()


def _raise(number: int, frame: object) -> None:
    """Interrupt, and again if that is lost, as in the destructor of an array."""
    global _pressed, _repeated
    repeated, _repeated = _repeated, False
    if repeated and _is_under_way():
        return
    _pressed = True
    again = threading.Timer(REPEAT, _interrupt_again)
    again.daemon = True
    again.start()
    raise KeyboardInterrupt


def _is_under_way() -> bool:
    """Tell whether an interruption is being dealt with, as by a ``finally``."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _interrupt_again() -> None:
    global _repeated
    if signal.getsignal(signal.SIGINT) is _raise:
        _repeated = True
        # To the main thread, which may have begun to wait for something.
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)


def _tell_unless_interrupted(lost: Any) -> None:
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
