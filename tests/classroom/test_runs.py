"""Runs on the page's server, from start to end: a real one, with real data."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pictures import bar, encode
from test_api import SMALL, predict


def ended(data):
    return data["type"] == "state" and data["state"] == "idle"


def of_run(events, run):
    return [(kind, data) for _, kind, data in events if data.get("run") == run]


def test_a_run_is_told_from_its_start_to_its_end(server):
    run = server.start(**SMALL)
    late = server.events(until=ended_of(run))
    told = of_run(late, run)
    kinds = [kind for kind, _ in told]
    assert kinds[0] == "start" and kinds[-2:] == ["end", "state"]
    assert kinds.count("epoch") == 2 and "batch" in kinds and "look" in kinds
    assert told[-2][1]["reason"] == "done"
    epoch = [data for kind, data in told if kind == "epoch"][-1]
    assert 0.6 < epoch["test_accuracy"] < 0.9
    confusion = np.array(epoch["confusion"])
    assert confusion.sum() == 10000 and (confusion.sum(axis=1) == 1000).all()
    assert confusion.trace() / 10000 == pytest.approx(epoch["test_accuracy"], abs=2e-3)
    assert all(each["true"] != each["predicted"] for each in epoch["gallery"])
    sure = [each["sure"] for each in epoch["gallery"]]
    assert sure == sorted(sure, reverse=True) and len(sure) == 12
    xs = [data["x"] for kind, data in told if kind == "batch"]
    assert xs == sorted(xs) and xs[-1] == 2.0
    # Who comes now sees the same; who comes back, only the rest.
    again = server.events(until=ended_of(run))
    assert of_run(again, run) == told
    middle = len(late) // 2
    rest = server.events(after=late[middle][0], until=ended_of(run))
    assert rest == late[middle + 1 :]


def ended_of(run):
    return lambda data: ended(data) and data.get("run") == run


def test_the_run_is_the_one_that_run_makes(server):
    from d2l_mlp.runs.run import Run, Settings

    number = server.start(**SMALL | {"num_epochs": 1}, seed=5)
    events = of_run(server.events(until=ended_of(number)), number)
    found = [d["test_accuracy"] for kind, d in events if kind == "epoch"]
    settings = Settings((16,), batch_size=512, num_epochs=1, seed=5, hybridize=True)
    expected = [result.test_accuracy for result in Run(settings).epochs()]
    # With one thread here and several there sums differ in the last bit.
    assert found == pytest.approx(expected, abs=0.03)


def test_pause_step_resume_and_stop(server):
    run = server.start(paused=True, **SMALL, seconds_per_epoch=1)
    server.wait_for("paused")
    batches = -(-60000 // 512)
    assert server.control("batch") == 202
    events = server.events(until=lambda d: d["type"] == "batch" and d["run"] == run)
    assert events[-1][2]["x"] == pytest.approx(1 / batches, abs=1e-3)
    server.wait_for("paused")
    assert server.control("epoch") == 202
    events = server.events(until=lambda d: d["type"] == "epoch" and d["run"] == run)
    assert events[-1][2]["epoch"] == 1
    server.wait_for("paused")
    assert server.control("resume") == 202
    server.wait_for("running")
    assert server.control("pause") == 202
    server.wait_for("paused")
    assert server.control("stop") == 202
    server.wait_for("idle")
    events = of_run(server.events(until=ended_of(run)), run)
    assert events[-2][1]["reason"] == "stopped"
    assert server.control("pause") == 409


def test_a_changed_learning_rate_is_marked_and_taken(server):
    run = server.start(paused=True, **SMALL | {"num_epochs": 1})
    server.wait_for("paused")
    assert server.control("lr", lr=0.0001) == 202
    assert server.control("resume") == 202
    events = of_run(server.events(until=ended_of(run)), run)
    assert [data["lr"] for kind, data in events if kind == "lr"] == [0.0001]
    # At this rate nothing is learnt, at 0.5 it is.
    last = [data for kind, data in events if kind == "epoch"][-1]
    assert last["train_loss"] > 2.2
    assert server.control("lr") == 409


def test_reset_clears_and_ends(server):
    run = server.start(**SMALL, seconds_per_epoch=5)
    server.wait_for("running")
    assert server.control("reset") == 202
    server.wait_for("idle")
    assert server.state()["run"] == run
    assert server.control("reset") == 202
    # Who comes now is sent nothing of before.
    later = server.events(until=lambda data: data["type"] == "reset")
    assert [kind for _, kind, _ in later] == ["reset"]
    assert server.ask("/weights.png")[0] == 404


def children(pid):
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def test_a_crashed_run_is_reported_and_the_next_can_be_started(server):
    before = set(children(server.process.pid))
    run = server.start(**SMALL, seconds_per_epoch=30)
    server.wait_for("running")
    for pid in set(children(server.process.pid)) - before:
        command = Path(f"/proc/{pid}/cmdline").read_text()
        if "spawn_main" in command:
            os.kill(pid, signal.SIGKILL)
    server.wait_for("idle")
    events = of_run(server.events(until=ended_of(run)), run)
    end = events[-2][1]
    assert end["reason"] == "failed" and "exit code -9" in end["message"]
    again = server.start(**SMALL | {"num_epochs": 1})
    events = of_run(server.events(until=ended_of(again)), again)
    assert events[-2][1]["reason"] == "done"


def test_a_diverged_run_says_so(server):
    """At the first rate before the last batch's graph is made, at the second later."""
    wide = {"num_hiddens": [512, 512], "batch_size": 4096}
    for lr in (10, 5):
        run = server.start(**SMALL | wide, lr=lr)
        end = of_run(server.events(until=ended_of(run)), run)[-2][1]
        assert end["reason"] == "diverged" and "learning rate" in end["message"]
    status, answer = predict(server, encode(bar()))
    assert status == 409 and "the net has diverged" in answer["detail"]


def test_a_run_that_does_not_answer_is_ended(server):
    before = set(children(server.process.pid))
    run = server.start(**SMALL, seconds_per_epoch=30)
    server.wait_for("running")
    for pid in set(children(server.process.pid)) - before:
        os.kill(pid, signal.SIGSTOP)
    assert server.control("stop") == 202
    server.wait_for("idle")
    end = of_run(server.events(until=ended_of(run)), run)[-2][1]
    assert end["reason"] == "stopped"


def test_waiting_is_no_part_of_an_epochs_seconds(server):
    run = server.start(**SMALL | {"num_epochs": 1}, seconds_per_epoch=4)
    start = time.monotonic()
    events = of_run(server.events(until=ended_of(run)), run)
    (seconds,) = (data["seconds"] for kind, data in events if kind == "epoch")
    assert seconds < 3.5 and time.monotonic() - start > 4


def test_nor_is_waiting_before_the_first_epoch(server):
    run = server.start(paused=True, **SMALL | {"num_epochs": 1})
    server.wait_for("paused")
    time.sleep(3)
    server.control("resume")
    events = of_run(server.events(until=ended_of(run)), run)
    (seconds,) = (data["seconds"] for kind, data in events if kind == "epoch")
    assert seconds > 0


def test_one_run_at_a_time(server):
    server.start(paused=True, **SMALL)
    status, _, content = server.ask("/api/run", {}, server.token)
    assert status == 409 and b"stop it first" in content


def test_viewers_that_never_read_do_not_hold_up_the_run(server):
    """Neither their buffers nor the rest of the class suffer."""
    host, port = server.student.removeprefix("http://").rstrip("/").split(":")
    idle = []
    for _ in range(20):
        viewer = socket.socket()
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        viewer.connect((host, int(port)))
        viewer.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.append(viewer)
    run = server.start(**SMALL | {"num_epochs": 6})
    events = of_run(server.events(until=ended_of(run)), run)
    assert events[-2][1]["reason"] == "done"
    assert [d["epoch"] for kind, d in events if kind == "epoch"] == [1, 2, 3, 4, 5, 6]
    for viewer in idle:
        viewer.close()


@pytest.mark.parametrize("num_hiddens", [[400], [512], [512, 512]])
def test_six_students_who_ask_at_once_are_answered_beside_a_run(server, num_hiddens):
    run = server.start(num_hiddens=num_hiddens, batch_size=512, num_epochs=20)
    server.events(until=lambda data: data["type"] == "batch" and data["run"] == run)
    picture = encode(bar())
    with ThreadPoolExecutor(6) as students:
        asked = [students.submit(predict, server, picture) for _ in range(6)]
        answers = [each.result(timeout=120) for each in asked]
    server.calm()
    assert [status for status, _ in answers] == [200] * 6
    assert all(0.99 < sum(answer["probabilities"]) < 1.01 for _, answer in answers)
