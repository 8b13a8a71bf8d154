"""``launch`` as its users run it: one command that starts, and ends, all processes."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from d2l_mlp.distributed import launcher
from d2l_mlp.runs.checkpoint_folder import Folder

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import PYTHON, clean_environment, numbers, wait_until

LAUNCH = [*PYTHON, "launch", "--num-workers", 2]
FOREVER = ["--", "book", "--fast", "--num-epochs", 99999, "--output"]


def start_forever(group, folder, *options):
    """Start a run that does not end, and wait for its second epoch."""
    printed = folder / "printed"
    with printed.open("w") as stdout:
        process = group.start([*LAUNCH, *FOREVER, folder, *options], stdout)
    wait_until(lambda: "epoch 2" in printed.read_text(), 90)
    return process


@pytest.mark.parametrize("victim", ["worker", "scheduler"])
def test_one_process_killed_ends_all(victim, group, tmp_path):
    process = start_forever(group, tmp_path, "--checkpoint", tmp_path / "kept")
    os.kill(group.alive(victim)[0], signal.SIGKILL)
    assert process.wait(10) == 1
    assert process.stderr.read() == (
        f"error: a {victim} was ended by signal 9; the others are ended\n"
    )
    wait_until(lambda: not group.alive(), 1)
    with Folder(tmp_path / "kept") as folder:
        assert len(folder.newest().results) >= 2, "the last checkpoint is whole"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_by_its_user_it_leaves_nothing(number, group, tmp_path):
    process = start_forever(group, tmp_path)
    process.send_signal(number)
    if number == signal.SIGKILL:
        # Nobody can tell the others then; they see that they are orphans.
        assert process.wait(1) == -9
        wait_until(lambda: not group.alive(), 5)
        return
    start = time.monotonic()
    assert process.wait(5) == 130
    assert time.monotonic() - start < 2
    assert re.fullmatch("stopped: .*\n", process.stderr.read())
    wait_until(lambda: not group.alive(), 1)


def test_over_ssh(group, tmp_path, alone_linear):
    """With an ``ssh`` that opens a shell here, with nothing of this environment."""
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    calls = tmp_path / "calls"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        'for command; do :; done\nexec env -i PATH="$PATH" HOME="$HOME" '
        f'TEST_MARK="$TEST_MARK" bash -c "$command"\n'
    )
    fake.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\n127.0.0.1:2222 slots=2\n")
    output = tmp_path / "it's a $HOME"
    process = group.start(
        [*LAUNCH, "--hosts", hosts, "--host-ip", "127.0.0.1", "--"]
        + ["book", "--linear", "--num-epochs", 1, "--output", output],
        PATH=f"{fake.parent}:{os.environ['PATH']}",
    )
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert numbers(stdout)[0] == pytest.approx(alone_linear, abs=0.001)
    assert sorted(os.listdir(output)) == ["curves.png", "predictions.png"]
    ports = re.findall(r"127.0.0.1 -p (\d+) ", calls.read_text())
    assert sorted(ports) == ["22", "22", "2222"]
    assert not group.alive()


@pytest.fixture
def alone_linear(tmp_path):
    command = ["book", "--linear", "--num-epochs", "1", "--output", tmp_path / "alone"]
    done = subprocess.run(
        [*PYTHON, *command], env=clean_environment(), capture_output=True, text=True
    )
    return numbers(done.stdout)[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--num-workers", 2, "--", "book", "--output", "a\nb"], 1, "no line break"),
        (["--num-workers", 1, "--", "book", "--kvstore", "local"], 1, "found local"),
        # Told before any process is started, and once.
        (["--num-workers", 2, "--", "book", "--lr", "0"], 2, "found '0'"),
        (["--num-workers", 2, "--", "book", "--num-epoch", 1], 2, "No such option"),
        # A worker that fails when the others are there already.
        (["--num-workers", 2, "--", "book", "--batch-size", 3], 1, "batch of 1 images"),
    ],
)  # fmt: skip
def test_what_cannot_be_launched_is_told(arguments, code, message, group, tmp_path):
    process = group.start([*PYTHON, "launch", *arguments], HOME=tmp_path)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert message in stderr and "Traceback" not in stderr
    if code == 2:
        assert stderr.count("Usage: ") == 1
    assert not group.alive()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "found no host"),
        ("10.0.0.2\nlab-7\n", "found 'lab-7', expected an IPv4 address"),
        ("me@10.0.0.2", "found 'me@10.0.0.2'"),
        # The launcher makes a line of shell of it.
        ("10.0.0.2  # the lab's", 'found "10.0.0.2  # the lab\'s"'),
        ("10.0.0.2:x", "found '10.0.0.2:x'"),
    ],
)
def test_hosts_are_addresses(line, message, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text(line)
    with pytest.raises(ValueError, match=message):
        launcher.launch(["true"], 1, 1, hosts)


def test_a_hosts_file_may_be_called_local(tmp_path, monkeypatch):
    """Which is a way to launch, too."""
    found = []
    monkeypatch.setattr(launcher, "_run", lambda arguments, _: found.extend(arguments))
    monkeypatch.chdir(tmp_path)
    Path("local").write_text("10.0.0.2:22 slots=2\n")
    launcher.launch(["true"], 1, 1, Path("local"))
    assert "local" not in found and str(tmp_path / "local") in found


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20))
def test_an_argument_passes_through_two_shells(argument):
    quoted = launcher.quote(argument)
    assert "'" not in quoted
    for line in (f"printf %s {quoted}", f"bash -c 'printf %s {quoted}'"):
        found = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert found.stdout == argument


def test_each_worker_of_a_machine_takes_its_part_of_the_processors(monkeypatch):
    started = []
    monkeypatch.setattr(launcher, "_run", lambda line, env: started.append(env) or 0)
    monkeypatch.setattr(launcher._threads, "count_processors", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("D2L_MLP_NUM_THREADS", "2")
    for num_workers in (1, 4, 5, 16):
        launcher.launch(["true"], num_workers, 1)
    found = [env["D2L_MLP_NUM_THREADS"] for env in started]
    assert found == ["2", "2", "1", "1"]
    # A team is the user's own choice, for all.
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    launcher.launch(["true"], 2, 1)
    assert started[-1]["OMP_NUM_THREADS"] == "5"
    assert started[-1]["D2L_MLP_NUM_THREADS"] == "1"
