"""``launch`` as its users run it: one command that starts, and ends, all processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from d2l_mlp.commands import cli
from d2l_mlp.distributed import launcher
from d2l_mlp.runs.checkpoint_folder import Folder

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import PYTHON, in_this_process, numbers, wait_until
from typer.testing import CliRunner

LAUNCH = [*PYTHON, "launch", "--num-workers", 2]
#: A process of the role named first does what comes second; the others wait.
ROLES = """
import os, signal, sys, time
if os.environ["DMLC_ROLE"] == sys.argv[1]:
    eval(sys.argv[2])
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("role", "act", "message"),
    [
        ("worker", "sys.exit(3)", "a worker ended with code 3"),
        ("server", "os.kill(os.getpid(), 9)", "a server was ended by signal 9"),
        ("scheduler", "os.kill(os.getpid(), 9)", "a scheduler was ended by signal 9"),
    ],
)
def test_one_that_fails_ends_all(
    role, act, message, group, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("TEST_MARK", group.mark)
    program = tmp_path / "roles.py"
    program.write_text(ROLES)
    command = [sys.executable, "-S", str(program), role, act]
    assert launcher.launch(command, 1, 1) == 1
    assert capfd.readouterr().err == f"error: {message}; the others are ended\n"
    wait_until(lambda: not group.alive(), 1)


def test_an_ssh_that_fails_ends_all(group, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TEST_MARK", group.mark)
    make_ssh(tmp_path, "exit 255", monkeypatch)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1")
    command = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    assert launcher.launch(command, 1, 1, hosts, "127.0.0.1") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert re.fullmatch("error: a (worker|server) ended with code 255; .*", line)
    wait_until(lambda: not group.alive(), 1)


def make_ssh(folder, script, monkeypatch):
    """Put a program of this name before the system's own."""
    path = folder / "bin" / "ssh"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def test_stopped_by_its_user_it_leaves_nothing(group, tmp_path):
    printed = tmp_path / "printed"
    command = [*LAUNCH, "--", "book", "--num-hiddens", 16, "--num-epochs", 99999]
    command += ["--batch-size", 1024, "--fast", "--output", tmp_path]
    with printed.open("w") as stdout:
        process = group.start([*command, "--checkpoint", tmp_path / "kept"], stdout)
    wait_until(lambda: "epoch 2" in printed.read_text(), 90)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    assert process.wait(5) == 130
    assert time.monotonic() - start < 2
    assert process.stderr.read() == "stopped; its processes on this machine end too\n"
    wait_until(lambda: not group.alive(), 1)
    with Folder(tmp_path / "kept") as folder:
        assert len(folder.newest().results) >= 2, "the last checkpoint is whole"


def test_when_it_is_killed_all_others_see_that_they_are_orphans(group, tmp_path):
    process = group.start([*LAUNCH, "--", "book", "--output", tmp_path])
    wait_until(lambda: group.alive("scheduler") and len(group.alive("worker")) == 2, 60)
    process.kill()
    wait_until(lambda: not group.alive(), 5)


def test_over_ssh_two_learn_as_one(group, tmp_path, monkeypatch):
    """By Gluon's net and the plain step, with a batch size that two cannot halve.

    And with an ``ssh`` that opens a shell here, with nothing of this environment.
    """
    calls = tmp_path / "calls"
    make_ssh(
        tmp_path,
        f'echo "$@" >> {calls}\n'
        'for command; do :; done\nexec env -i PATH="$PATH" HOME="$HOME" '
        'TEST_MARK="$TEST_MARK" bash -c "$command"',
        monkeypatch,
    )
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\n127.0.0.1:2222 slots=2\n")
    command = ["book", "--gluon", "--num-hiddens", 16, "--scale", "he", "--lr", 0.1]
    command += ["--batch-size", 999, "--num-epochs", 1, "--output"]
    output = tmp_path / "it's a $HOME"
    process = group.start(
        [*LAUNCH, "--hosts", hosts, "--host-ip", "127.0.0.1", "--", *command, output]
    )
    alone = numbers(in_this_process(*command, tmp_path / "alone"))
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    for found, expected in zip(numbers(stdout), alone, strict=True):
        assert found == pytest.approx(expected, abs=0.001)
    assert sorted(os.listdir(output)) == ["curves.png", "predictions.png"]
    ports = re.findall(r"127.0.0.1 -p (\d+) ", calls.read_text())
    assert sorted(ports) == ["22", "22", "2222"]
    assert not group.alive()


def test_a_worker_that_fails_tells_its_cause(group, tmp_path):
    """Here when the others are there already."""
    command = [*LAUNCH, "--", "book", "--batch-size", 3]
    process = group.start([*command, "--output", tmp_path])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "batch of 1 images" in stderr and "Traceback" not in stderr
    assert not group.alive()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("launch --num-workers 2 -- book --lr 0", "found '0'"),
        ("launch --num-workers 2 -- book --num-epoch 1", "No such option"),
        # What a process says that the launcher has started.
        ("book --kvstore local", "found local in one of several processes"),
    ],
)
def test_what_cannot_be_launched_is_told_once(arguments, message, monkeypatch):
    monkeypatch.setattr(launcher, "_run", lambda *_: pytest.fail("it was started"))
    monkeypatch.setenv("DMLC_ROLE", "worker")
    done = CliRunner().invoke(cli.app, arguments.split())
    assert done.exit_code == 2
    assert message in done.output and done.output.count("Usage: ") == 1


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


@settings(max_examples=10)
@given(
    st.lists(
        st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20),
        min_size=5,
    )
)
def test_arguments_pass_through_two_shells(arguments):
    line = "printf '%s\\0' " + " ".join(map(launcher.quote, arguments))
    inner = line.replace("'%s\\0'", "%s\\\\0")
    assert "'" not in inner
    for command in (line, f"bash -c '{inner}'"):
        found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert found.stdout.split("\0")[:-1] == arguments


@pytest.mark.parametrize("argument", ["a\nb", "a\rb", "a\0b"])
def test_what_no_shell_passes_on_is_refused(argument):
    with pytest.raises(ValueError, match="expected no line break"):
        launcher.quote(argument)


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
