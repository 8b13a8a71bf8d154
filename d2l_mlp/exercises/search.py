"""Exercise 4: Optuna's search for the best setting, over processes and machines.

place = Place("plain", Path("search.journal"))
for trial in search(place, PLAIN, num_trials=40, num_workers=2, release="2017-08-31"):
    print(trial.number, trial.value)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

import optuna
import pebble
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from .. import _stop
from ..runs.sweep import SweepError, make_pool, one_thread
from .space import Space
from .storage import retry, storage_errors
from .trials import ENDED, Place, create, work

#: Deaths of workers, one after the other, before the search is given up.
DEATHS = 5


def search(
    place: Place,
    space: Space,
    num_trials: int,
    num_workers: int,
    release: str,
    root: str | None = None,
) -> Iterator[FrozenTrial]:
    """Yield each trial as it ends, here or on another machine, until there are enough.

    A trial is a run on the training images less the held-out ones; its value is the
    accuracy on those after the last epoch. One that diverges, or is behind the median
    at half of its run, is pruned. With several workers a few more than ``num_trials``
    may end, since those under way are let go on. A worker that dies is replaced, and
    the setting that it was at is tried again.

    Args:
        place: of the trials; what ended there before counts, and is not yielded.
        space: what to choose among.
        num_trials: trials that are to end.
        num_workers: processes on this machine.
        release: of the data set.
        root: folder of the data files.

    Raises:
        SweepError: as ``create``; or a trial failed, or workers keep dying.
    """
    task = (place, space, num_trials, release, root)
    nameless = _Nameless(6 * place.heartbeat)
    with storage_errors(place.text):
        study = create(place, space, release)
        if place.url is None:
            # No other process is on the journal: what runs there is a dead one's.
            _retry_all(study, _running(study))
        seen = {trial.number for trial in study.get_trials(states=ENDED)}
        with _Workers(study, task, num_workers) as workers:
            while True:
                workers.tend()
                for trial in study.get_trials(states=ENDED):
                    if trial.number not in seen:
                        seen.add(trial.number)
                        workers.deaths = 0
                        yield trial
                if not workers.idle:
                    continue
                optuna.storages.fail_stale_trials(study)
                _retry_all(study, nameless.dead(study))
                waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
                if to_do := max(num_trials - len(seen), len(waiting)):
                    workers.start(to_do)
                elif not _running(study):
                    return
                else:
                    # Other machines are at the last ones, or one of them is dead.
                    time.sleep(0.5)


class _Workers:
    """Processes that try one setting after the other."""

    def __init__(self, study: optuna.Study, task: tuple, num_workers: int) -> None:
        self.deaths = 0
        self._study, self._task, self._num_workers = study, task, num_workers
        # A pool for each, since a worker that dies may take its pool along.
        self._at_work: dict[Future, tuple[str, pebble.ProcessPool]] = {}

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        at_work = list(self._at_work.values())
        for _name, pool in at_work:
            pool.stop()
        for _name, pool in at_work:
            pool.join()
        with suppress(OptunaError, SQLAlchemyError):
            self._retry_those_of([name for name, _ in at_work])

    @property
    def idle(self) -> bool:
        """Whether none is at work."""
        return not self._at_work

    def start(self, to_do: int) -> None:
        """Let as many as there is work for work until there are enough trials."""
        for _ in range(min(self._num_workers, to_do)):
            self._start_one()

    def _start_one(self) -> None:
        name = uuid.uuid4().hex
        with one_thread(), _stop.sigint_blocked():
            pool = make_pool(1)
            future = pool.schedule(work, args=[name, *self._task])
            self._at_work[future] = (name, pool)

    def tend(self) -> None:
        """Wait for a moment, then see to those that have ended."""
        done, _ = wait(self._at_work, timeout=0.3)
        for future in done:
            name, pool = self._at_work.pop(future)
            try:
                future.result()
            except (pebble.ProcessExpired, BrokenProcessPool) as death:
                self._retry_those_of([name])
                self.deaths += 1
                if self.deaths > DEATHS:
                    raise SweepError(
                        f"{self.deaths} worker processes died, one after the other "
                        f"({death}); for lack of memory, let fewer work at a time"
                    ) from None
                self._start_one()
            except Exception as error:
                raise SweepError(f"a trial failed: {error}") from error
            finally:
                pool.stop()
                pool.join()

    def _retry_those_of(self, names: Sequence[str]) -> None:
        mine = [t for t in _running(self._study) if t.user_attrs.get("worker") in names]
        _retry_all(self._study, mine)


def _running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.RUNNING,))


class _Nameless:
    """Trials whose worker died before it could say whose they are, or show life.

    Told by how long this process has seen them so: clocks of machines differ.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[int, float] = {}

    def dead(self, study: optuna.Study) -> list[FrozenTrial]:
        """Return those that have been nameless for too long."""
        now = time.monotonic()
        nameless = [t for t in _running(study) if "worker" not in t.user_attrs]
        self._since = {t.number: self._since.get(t.number, now) for t in nameless}
        return [t for t in nameless if now - self._since[t.number] > self._patience]


def _retry_all(study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """Fail trials whose process is dead, and queue their settings anew."""
    for trial in trials:
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            # It ended, or another process has seen to it.
            continue
        retry(study, trial)
