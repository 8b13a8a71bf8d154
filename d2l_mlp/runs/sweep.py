"""Many runs, spread over processes, each kept in a file as soon as it ends.

for record in sweep(train, jobs, Path("results.jsonl")):
    print(record)
"""

from __future__ import annotations

import json
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pebble

from .. import _files, _stop
from .._values import whole_number

#: Times that a job is given to a worker before its deaths are taken for its fault.
TRIES = 3

Json = dict[str, Any]


class SweepError(RuntimeError):
    """Runs cannot be made or kept; the message says why."""


def sweep(
    work: Callable[[Json], Json], jobs: Sequence[Json], path: Path, num_workers: int = 1
) -> Iterator[Json]:
    """Yield a record for each job: those in ``path`` first, others as they end.

    A record holds ``"job"`` and, as ``"result"``, what ``work`` gave. It is added to
    the file before it is yielded: the same call after an interruption runs only what is
    missing. If a worker dies its job alone is done again; if a job fails the others are
    done first. Workers compute with one thread each, whatever their number, so that the
    same job gives the same bits; until the end the file is locked, and other processes
    started from here compute with one thread, too.

    Args:
        work: a module's function, from a job to what comes of it; both as JSON.
        jobs: what to do; equal ones are one.
        path: the file, a line of JSON for each record; it and its folder are made.
        num_workers: processes, at least 1.

    Raises:
        SweepError: another process writes to the file, a line of it is damaged, a job
            failed, or its worker died each time.
        ValueError: ``num_workers`` is below 1.
        OSError: the file cannot be read or written.
    """
    whole_number("num_workers", num_workers)
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path):
        kept = {key(record["job"]): record for record in read(path, mend=True)}
        missing = {key(job): job for job in jobs if key(job) not in kept}
        yield from (kept[k] for k in dict.fromkeys(map(key, jobs)) if k in kept)
        if not missing:
            return
        with path.open("a", encoding="utf-8") as file:
            for record in _run(work, list(missing.values()), num_workers):
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
                yield record


def read(path: Path, mend: bool = False) -> list[Json]:
    """Return the records in ``path``, none if there is no such file.

    Args:
        path: the file.
        mend: cut off a last line that was not written to its end.

    Raises:
        SweepError: a line that is whole is no record.
    """
    if not path.exists():
        return []
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn and _is_record(torn):
        # Whole but for its end of line, as an editor may leave it.
        whole = whole + b"\n" + torn if whole else torn
        if mend:
            with path.open("ab") as file:
                file.write(b"\n")
    elif torn and not torn.startswith(b'{"job": '):
        number = whole.count(b"\n") + 2 if whole else 1
        raise _no_record(path, number, torn)
    elif torn and mend:
        warnings.warn(
            f"{path}: left out its last line, cut short; that run is made again",
            stacklevel=2,
        )
        os.truncate(path, len(whole) + 1 if whole else 0)
    records = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        if not _is_record(line):
            raise _no_record(path, number, line)
        records.append(json.loads(line))
    return records


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and {"job", "result"} <= set(record)


def _no_record(path: Path, number: int, line: bytes) -> SweepError:
    return SweepError(
        f"{path}, line {number}: found {line[:40].decode(errors='replace')!r}, "
        "expected a record with its job and result: delete the line, and what it held "
        "will be run again; or name another file"
    )


def count_missing(jobs: Sequence[Json], path: Path) -> tuple[int, int]:
    """Return how many different ``jobs`` there are, and how many ``path`` lacks."""
    kept = {key(record["job"]) for record in read(path)}
    keys = set(map(key, jobs))
    return len(keys), len(keys - kept)


def key(job: Json) -> str:
    """Return what equal jobs, and no others, have in common."""
    return json.dumps(job, sort_keys=True)


def _run(
    work: Callable[[Json], Json], jobs: list[Json], num_workers: int
) -> Iterator[Json]:
    """Yield each job's record as it ends, then raise what went wrong with others."""
    tries = dict.fromkeys(map(key, jobs), 0)
    failures: list[SweepError] = []
    with one_thread():
        while jobs:
            with _stop.sigint_blocked():
                pool = make_pool(min(num_workers, len(jobs)))
            try:
                with _stop.sigint_blocked():
                    pending: dict[Future, Json] = {
                        pool.schedule(work, args=[job]): job for job in jobs
                    }
                jobs = []
                for future in as_completed(pending):
                    job = pending[future]
                    try:
                        yield {"job": job, "result": future.result()}
                    except (pebble.ProcessExpired, BrokenProcessPool) as death:
                        # The second is a worker's death while it starts.
                        tries[key(job)] += 1
                        if tries[key(job)] < TRIES:
                            jobs.append(job)
                        else:
                            failures.append(_deaths(job, death))
                    except Exception as error:
                        failures.append(SweepError(f"{error} (in the job {key(job)})"))
            finally:
                pool.stop()
                pool.join()
    if failures:
        raise failures[0]


def make_pool(num_workers: int) -> pebble.ProcessPool:
    """Return a pool of processes that end with this one.

    It is to be made, and given its first work, under ``_stop.sigint_blocked``.
    """
    return pebble.ProcessPool(
        max_workers=num_workers,
        # Not fork: MXNet is not to be used on both sides of one.
        context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )


def _start_worker() -> None:
    """End with the process that started this one, and warn as it does."""
    # Without the line of Python that a warning comes from, as the command line has it.
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    _stop.end_with_parent()


def _deaths(job: Json, death: Exception) -> SweepError:
    code = getattr(death, "exitcode", "unknown")
    return SweepError(
        f"{TRIES} worker processes died (exit code {code}) on the job {key(job)}; on "
        "-9, for lack of memory, let fewer work at a time"
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let processes that start now compute with one thread each."""
    names = ("OMP_NUM_THREADS", "D2L_MLP_NUM_THREADS")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name)
        os.environ.update(before)


def alone(path: Path) -> AbstractContextManager[None]:
    """Keep other processes from ``path`` by a lock file beside it.

    Raises:
        SweepError: another process has it.
    """
    refusal = SweepError(
        f"{path}: another process is adding to it; wait for its end, or name "
        "another file"
    )
    return _files.alone(path.with_name(path.name + ".lock"), refusal)
