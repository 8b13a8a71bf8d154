"""Where the search keeps its trials: a file, or a database for several machines."""

from __future__ import annotations

import copy
import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from .. import _files
from ..runs.sweep import SweepError

#: Times that the setting of a trial whose process died is tried again.
RETRIES = 3

optuna.logging.set_verbosity(optuna.logging.ERROR)
# Heartbeats and the sampler's groups have been marked so for years.
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def retry(
    study: optuna.Study, trial: FrozenTrial, max_retry: int | None = RETRIES
) -> None:
    """Queue a dead trial's setting again, without the dead trial's notes.

    After ``max_retry`` deaths, if that is a number, the setting is given up.
    """
    blank = copy.copy(trial)
    blank.user_attrs = {}
    RetryHeartbeatStaleTrialCallback(max_retry=max_retry)(study, blank)


def first_number(trial: FrozenTrial) -> int:
    """Return the number of the first trial of a setting that was tried again."""
    return trial.system_attrs.get("failed_trial", trial.number)


class MendingLock(JournalFileOpenLock):
    """Lets one process at a time write to a journal, and mends its last line.

    A writer that dies leaves part of a line, which the next writer would make
    unreadable. The system frees this lock when its process dies; Optuna's own lock
    would block others for half a minute.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock, then cut off an unfinished last line."""
        refusal = SweepError(f"{self._path}: cannot be locked; name another folder")
        with ExitStack() as stack:
            lock = _files.alone(Path(self._path + ".lock"), refusal, timeout=None)
            stack.enter_context(lock)
            with open(self._path, "rb+") as file:
                torn = _size_of_torn_line(file)
                if torn:
                    file.truncate(file.seek(0, os.SEEK_END) - torn)
            self._held = stack.pop_all()
        return True

    def release(self) -> None:
        """Let the next one write."""
        self._held.close()


def _size_of_torn_line(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    size = 0
    while size < end:
        step = min(4096, end - size)
        file.seek(end - size - step)
        tail = file.read(step)
        if b"\n" in tail:
            return size + len(tail) - tail.rindex(b"\n") - 1
        size += step
    return size


def open_storage(
    path: Path, url: str | None = None, heartbeat: int = 10
) -> optuna.storages.BaseStorage:
    """Return the storage at ``url``, or else the journal at ``path``.

    Args:
        path: a file, made if there is none.
        url: ``postgresql://…``.
        heartbeat: seconds between two signs of life in a database. A trial without one
            for six times as long counts as dead, and its setting is tried again.

    Raises:
        SweepError: the database cannot be reached, or the file is no journal.
    """
    if url is None:
        backend = JournalFileBackend(str(path), MendingLock(str(path)))
        try:
            _check_first_line(path)
            return JournalStorage(backend)
        except (ValueError, KeyError, TypeError) as error:
            raise SweepError(
                f"{path}: found a line that is no record of a search ({error}), "
                "expected a journal as exercise 4 writes it: name another folder"
            ) from None
    try:
        address = sqlalchemy.engine.make_url(url)
        if address.drivername.partition("+")[0] not in ("postgresql", "postgres"):
            # SQLAlchemy would make a stray file of a mistyped address.
            raise sqlalchemy.exc.ArgumentError("another kind of database")
        if "+" not in address.drivername:
            address = address.set(drivername="postgresql+psycopg")
        return _open_database(address.render_as_string(hide_password=False), heartbeat)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        cause = str(error).strip().splitlines()[0]
        raise SweepError(
            f"storage: found {mask_password(url)}, which cannot be opened ({cause}), "
            "expected postgresql://USER:PASSWORD@HOST/DATABASE of a running server"
        ) from None


def _open_database(url: str, heartbeat: int) -> RDBStorage:
    for tries_left in reversed(range(5)):
        try:
            return RDBStorage(
                url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=heartbeat,
                grace_period=6 * heartbeat,
                heartbeat_stale_trial_callback=retry,
            )
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            # Another machine is making the same tables.
            if not tries_left:
                raise
            time.sleep(1)
    raise AssertionError("not reached")


def _check_first_line(path: Path) -> None:
    """Refuse a file that Optuna would take for a journal with an unfinished line."""
    with path.open("rb") as file:
        first = file.readline()
    if first.endswith(b"\n"):
        json.loads(first)["op_code"]


def mask_password(url: str) -> str:
    """Return the address of a database without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "no address of a database"


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn the errors of a storage that is gone into a message.

    Raises:
        SweepError: the storage at ``place`` does not answer, or has lost the search.
    """
    try:
        yield
    except (OptunaError, sqlalchemy.exc.SQLAlchemyError, KeyError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SweepError(
            f"{place}: does not answer as it did ({cause}); what ended is kept there, "
            "the same command goes on"
        ) from None
