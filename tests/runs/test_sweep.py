"""Many runs over processes: kept at once, resumed, and no more lost than must be."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from d2l_mlp.runs import sweep as sweeping
from d2l_mlp.runs.sweep import SweepError, count_missing, read, sweep

import pytest


def square(job):
    return {"square": job["n"] ** 2, "threads": os.environ["OMP_NUM_THREADS"]}


def slow_square(job):
    time.sleep(0.15)
    return square(job)


def dies_once(job):
    """Kill the worker of one job, the first time."""
    mark = Path(job["folder"]) / "died"
    if job["n"] == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (Path(job["folder"]) / f"{job['n']}-{time.time_ns()}").touch()
    return {}


def dies(job):
    os.kill(os.getpid(), signal.SIGKILL)


def fails(job):
    raise ValueError(f"no good: {job['n']}")


def fails_once(job):
    if job["n"] == 1:
        fails(job)
    return square(job)


JOBS = [{"n": n} for n in range(6)]


def lines(path):
    return sorted(path.read_text().splitlines())


@pytest.mark.parametrize("num_workers", [1, 2, 9])
def test_each_job_gets_a_record_in_the_file(tmp_path, num_workers):
    path = tmp_path / "new" / "results.jsonl"
    records = list(sweep(square, JOBS, path, num_workers))
    assert sorted(r["job"]["n"] for r in records) == list(range(6))
    assert all(r["result"]["square"] == r["job"]["n"] ** 2 for r in records)
    assert {r["result"]["threads"] for r in records} == {"1"}
    assert sorted(map(json.dumps, read(path))) == sorted(map(json.dumps, records))


def test_only_what_is_missing_is_run(tmp_path):
    path = tmp_path / "results.jsonl"
    list(sweep(square, JOBS[:4], path))
    before = path.read_text()
    assert count_missing([*JOBS, *JOBS], path) == (6, 2)
    records = list(sweep(square, [*JOBS, *JOBS], path))
    assert [r["job"]["n"] for r in records[:4]] == [0, 1, 2, 3]
    assert len(records) == 6
    assert path.read_text().startswith(before)
    # None are run, not even by a function that fails.
    assert list(sweep(fails, JOBS, path)) == records


@pytest.mark.parametrize("cut", [2, 20])
def test_a_line_cut_off_is_run_again(tmp_path, cut):
    whole, torn = tmp_path / "whole.jsonl", tmp_path / "torn.jsonl"
    for path in (whole, torn):
        list(sweep(square, JOBS, path))
    os.truncate(torn, torn.stat().st_size - cut)
    assert len(read(torn)) == 5
    list(sweep(square, JOBS, torn))
    assert lines(torn) == lines(whole)


@pytest.mark.parametrize("line", ["{]", "[]", '{"job": {}}', "3", "", "\udcff"])
def test_a_damaged_line_is_named_and_kept(tmp_path, line):
    path = tmp_path / "results.jsonl"
    list(sweep(square, JOBS[:2], path))
    first, second = path.read_bytes().splitlines()
    content = b"\n".join([first, line.encode(errors="surrogateescape"), second]) + b"\n"
    path.write_bytes(content)
    with pytest.raises(SweepError, match=r"results.jsonl, line 2: found .*delete"):
        list(sweep(square, JOBS, path))
    assert path.read_bytes() == content


def test_a_killed_worker_loses_its_own_run_alone(tmp_path):
    jobs = [{"n": n, "folder": str(tmp_path)} for n in range(8)]
    records = list(sweep(dies_once, jobs, tmp_path / "results.jsonl", 2))
    assert sorted(r["job"]["n"] for r in records) == list(range(8))
    done = sorted(int(path.name.split("-")[0]) for path in tmp_path.glob("?-*"))
    assert done == list(range(8)), "each job ended exactly once"


def test_a_job_that_kills_every_worker_ends_the_sweep(tmp_path):
    path = tmp_path / "results.jsonl"
    with pytest.raises(SweepError, match="3 worker processes died .*exit code -9"):
        list(sweep(dies, JOBS[:1], path))
    assert read(path) == []


def test_a_job_that_fails_is_named_when_all_others_are_done(tmp_path):
    path = tmp_path / "results.jsonl"
    with pytest.raises(SweepError, match=r"no good: 1 \(in the job ..n.: 1"):
        list(sweep(fails_once, JOBS, path, 2))
    assert sorted(r["job"]["n"] for r in read(path)) == [0, 2, 3, 4, 5]


def test_a_worker_that_dies_while_it_starts_is_replaced(tmp_path, monkeypatch):
    """A stranger kills the first worker before it has a job."""
    path, killed = tmp_path / "results.jsonl", []

    def kill_first():
        deadline = time.monotonic() + 20
        while not killed and time.monotonic() < deadline:
            workers = multiprocessing.active_children()
            if workers:
                time.sleep(0.2)
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append(workers[0].pid)

    thread = threading.Thread(target=kill_first)
    thread.start()
    records = list(sweep(square, JOBS, path, 1))
    thread.join()
    assert killed and len(records) == len(read(path)) == 6


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_workers: found 0"):
        list(sweep(square, JOBS, tmp_path / "results.jsonl", 0))


def test_a_last_line_without_its_end_is_a_record_if_it_is_whole(tmp_path):
    path = tmp_path / "results.jsonl"
    list(sweep(square, JOBS, path))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert len(read(path)) == 6
    assert len(list(sweep(fails, JOBS, path))) == 6
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["a diary", "a\ndiary", '{"other": 1}'])
def test_a_file_of_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "results.jsonl"
    path.write_text(content)
    with pytest.raises(SweepError, match="line [12]: found .* or name another file"):
        list(sweep(square, JOBS, path))
    assert path.read_text() == content


def test_two_sweeps_do_not_write_to_one_file(tmp_path):
    path = tmp_path / "results.jsonl"
    first = sweep(square, JOBS, path)
    next(first)
    with pytest.raises(SweepError, match="another process is adding to it"):
        next(sweep(square, JOBS, path))
    first.close()
    assert len(list(sweep(square, JOBS, path))) == 6


def test_the_threads_of_this_process_are_left_alone(tmp_path, monkeypatch):
    names = ("OMP_NUM_THREADS", "D2L_MLP_NUM_THREADS")
    for values in (("1", "2"), ("7", None), (None, None)):
        for name, value in zip(names, values, strict=True):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        with sweeping.one_thread():
            assert [os.environ[name] for name in names] == ["1", "1"]
        assert tuple(os.environ.get(name) for name in names) == values


SCRIPT = """
import sys
from pathlib import Path
from test_sweep import JOBS, slow_square
from d2l_mlp.runs.sweep import sweep
if __name__ == "__main__":
    for record in sweep(slow_square, JOBS, Path(sys.argv[1]), 2):
        print(record, flush=True)
"""


def start(script, path):
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, script, path], env=env, stdout=subprocess.PIPE, text=True
    )


def alive(session):
    """Return the processes whose command line names ``session``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if session.encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.endurance
def test_killed_and_started_again_it_ends_as_if_never_killed(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setenv("SWEEP_SESSION", str(tmp_path))
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    assert start(script, whole).wait(60) == 0
    for _ in range(2):
        process = start(script, killed)
        before = len(read(killed))
        for _ in range(before + 1):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        # Orphaned workers must not go on for long.
        deadline = time.monotonic() + 20
        while (left := set(alive(str(tmp_path))) - {str(os.getpid())}) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.1)
        assert not left
        assert before < len(read(killed)) < len(JOBS)
    assert start(script, killed).wait(60) == 0
    assert lines(killed) == lines(whole)
