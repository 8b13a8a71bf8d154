"""Files that are whole or not there, and folders that one process has to itself."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import _stop

#: Ends the name of a file that is being written.
PARTIAL = ".partial"


def write_whole(path: Path, *content: bytes | memoryview) -> None:
    """Write ``content`` to ``path``, whole or not at all, whenever the machine stops.

    What stood there before stays until all parts of ``content`` are on the disk. A
    process that is killed meanwhile leaves a file ``PATH.NUMBER.partial``.

    Raises:
        OSError: it cannot be written, a full disk among the causes, or there is
            something there that is no file; names the file.
    """
    # What a link names, not the link.
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path}: found no plain file, expected one to replace")
    # Another process may be writing the same one.
    partial = path.with_name(f"{path.name}.{secrets.randbits(32)}{PARTIAL}")
    _stop.unfinished.add(partial)
    try:
        with partial.open("wb") as file:
            for part in content:
                file.write(part)
            file.flush()
            # A name may reach the disk before what it names does.
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        # A full disk does not say whose it is, and nobody asked for the other.
        error.filename = str(path)
        raise
    finally:
        # Where it cannot be, that is not what went wrong.
        with suppress(OSError):
            partial.unlink()
        _stop.unfinished.discard(partial)
    sync_folder(path.parent)


@contextmanager
def readable(path: Path, expected: str) -> Iterator[None]:
    """Have an ``OSError`` name ``path`` and what was ``expected`` there."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        raise OSError(error.errno, f"{cause}, expected {expected}", str(path)) from None


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(path: Path, refusal: Exception, timeout: float | None = 0) -> Iterator[None]:
    """Lock the file ``path``, or raise ``refusal`` if another process has it.

    ``timeout`` is how many seconds to wait for the other process; None: for ever.
    """
    import portalocker

    waits = portalocker.LockFlags(0) if timeout is None else portalocker.LOCK_NB
    lock = portalocker.Lock(path, timeout=timeout, flags=portalocker.LOCK_EX | waits)
    try:
        lock.acquire()
    except portalocker.LockException:
        raise refusal from None
    with lock:
        yield
