"""The exercises as their users run them: in processes of their own, on real data."""

import os
import signal
import subprocess
import sys
import time

from d2l_mlp.runs.sweep import read

import pytest
from test_cli import run


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    output = tmp_path_factory.mktemp("third")
    done = run("exercise", "3", "--seeds", 1, "--num-epochs", 1, "--output", output)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def test_it_runs_tells_and_draws(third):
    output, text = third
    assert text.startswith("seed 0, Fashion-MNIST 2017-08-31, mxnet 1.9.1, ")
    assert f"0 of 9 runs are in {output}/results.jsonl; 9 to go" in text
    assert "What does the learning rate change?" in text
    assert "best mean test accuracy: learning rate 0." in text
    # A learning rate of 3 leaves no unit alive.
    assert "1 of 1 learned nothing" in text
    assert len(read(output / "results.jsonl")) == 9
    assert (output / "figure.png").stat().st_size > 20_000


def test_the_same_command_runs_only_what_is_missing(third):
    output, text = third
    lines = (output / "results.jsonl").read_bytes().splitlines(keepends=True)
    (output / "results.jsonl").write_bytes(b"".join(lines[:-1]))
    options = ("--num-epochs", 1, "--output", output)
    again = run("exercise", "3", "--seeds", 1, *options)
    assert "8 of 9 runs are in" in again.stdout
    drop = "seconds per epoch"
    assert (
        again.stdout[again.stdout.index("best mean") :]
        == (text[text.index("best mean") :])
    ), drop


@pytest.mark.parametrize(
    "url", ["postgresql://nobody:secret@127.0.0.1:9/none", "nonsense"]
)
def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path, url):
    done = run("exercise", "4", "--storage", url, "--output", tmp_path)
    assert done.returncode == 1
    assert "error: storage: found " in done.stderr
    assert "expected postgresql://USER:PASSWORD@HOST/DATABASE" in done.stderr
    assert "secret" not in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_ends_the_search_and_keeps_what_ended(tmp_path):
    command = [sys.executable, "-m", "d2l_mlp", "exercise", "4", "--jobs", "2"]
    process = subprocess.Popen(
        [*command, "--output", tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("trial 0: "):
            break
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 130 and time.monotonic() - start < 4
    assert rest.splitlines()[-1].startswith(
        f"stopped; what ended is kept in {tmp_path}"
    )
    assert "Traceback" not in rest
    assert (tmp_path / "search.journal").stat().st_size > 0
