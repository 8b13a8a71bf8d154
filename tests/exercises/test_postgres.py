"""The search over a real PostgreSQL server: workers and whole machines that die.

The server's address is in D2L_MLP_POSTGRES; scripts/with_postgres.sh starts one.
"""

import multiprocessing
import os
import signal
import time
import uuid
from dataclasses import replace

from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.trials import Place
from d2l_mlp.runs.sweep import SweepError

import psycopg
import pytest
from searching import RELEASE, SMALL, check_whole, start

URL = os.environ.get("D2L_MLP_POSTGRES", "")


@pytest.fixture(autouse=True)
def server():
    if URL:
        return
    if os.environ.get("REQUIRE_POSTGRES"):
        pytest.fail("D2L_MLP_POSTGRES: found nothing, expected a server's address")
    pytest.skip("no PostgreSQL server: sh scripts/with_postgres.sh make test")


@pytest.fixture
def place(tmp_path):
    return Place(uuid.uuid4().hex, tmp_path / "none", URL, heartbeat=1)


@pytest.mark.endurance
def test_four_workers_two_of_them_killed(place):
    """Every trial ends exactly once or is tried again; none is counted twice."""
    killed, told = set(), []
    for trial in search(place, SMALL, 10, 4, RELEASE):
        told.append(trial.number)
        workers = [w.pid for w in multiprocessing.active_children() if w.is_alive()]
        fresh = [pid for pid in workers if pid not in killed]
        if len(killed) < 2 and fresh:
            os.kill(fresh[0], signal.SIGKILL)
            killed.add(fresh[0])
            time.sleep(0.5)
    assert len(killed) == 2
    study = place.open()
    lost = check_whole(study, 10)
    assert len(lost) <= 2
    assert len(told) == len(set(told)) == len(study.trials) - len(lost)


@pytest.mark.endurance
def test_two_machines_one_of_which_dies(place, tmp_path):
    """What the dead one was at is taken up by the other, once its signs of life end."""
    other = start(tmp_path, place, trials=8)
    assert other.stdout.readline()
    told = []
    for trial in search(place, SMALL, 8, 2, RELEASE):
        told.append(trial.number)
        if other.poll() is None:
            os.killpg(other.pid, signal.SIGKILL)
            other.wait()
    study = place.open()
    assert check_whole(study, 8), "it was at something"
    assert len(told) == len(set(told))


def test_two_machines_may_start_at_once_on_a_new_database(place, tmp_path):
    """Both make the tables; which of them is first must not matter."""
    name = f"new_{place.name}"
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    new = replace(place, url=URL.rpartition("/")[0] + f"/{name}")
    machines = [start(tmp_path, new, trials=2) for _ in range(2)]
    for machine in machines:
        machine.stdout.read()
        assert machine.wait(60) == 0
    check_whole(new.open(), 2)


def test_another_space_is_refused(place):
    list(search(place, SMALL, 1, 1, RELEASE))
    with pytest.raises(SweepError, match="found one made of"):
        next(search(place, SMALL, 2, 1, "another release"))
