"""Ctrl-C ends a command at once, with one line and exit code 130."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest


def interrupt(after, *arguments, repeat=1):
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    time.sleep(after)
    start = time.monotonic()
    for _ in range(repeat):
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors, time.monotonic() - start


# Before some 0.1 s Python itself starts, and tells of an interruption in its own way.
@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("least", [0.2, 0.7, 1.5, 2.5])
def test_a_run_interrupted_at_any_time(tmp_path, least, repeat):
    after = random.uniform(least, least + 1)
    book = ["-m", "d2l_mlp", "book", "--output", tmp_path]
    found = interrupt(after, *book, repeat=repeat)
    assert found[:2] == (130, "stopped\n"), after
    assert found[2] < 2


def test_other_commands_end_so_too(tmp_path):
    for arguments in (["doctor"], ["compare", "--output", tmp_path]):
        assert interrupt(0.7, "-m", "d2l_mlp", *arguments)[:2] == (130, "stopped\n")


LOST = """
import os, signal, sys, time
from d2l_mlp import _stop

class Array:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

_stop.interrupt()
try:
    Array()
    time.sleep(20)
except KeyboardInterrupt:
    _stop.end("as it should")
"""


def test_an_interruption_that_falls_into_a_destructor_is_not_lost():
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "stopped; as it should\n")
    assert time.monotonic() - start < 15


def test_other_errors_in_a_destructor_are_told_as_ever():
    script = LOST.replace("os.kill(os.getpid(), signal.SIGINT)", "1 / 0")
    script = script.replace("time.sleep(20)", "sys.exit(0)")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0 and "ZeroDivisionError" in done.stderr


def test_where_interruptions_are_ignored_they_still_are():
    """As with a shell's ``&``, whose processes Ctrl-C is not meant for."""
    script = "import signal; from d2l_mlp import _stop; _stop.end_at_once(); "
    script += "_stop.interrupt(); signal.raise_signal(signal.SIGINT); print('there')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.stdout == "there\n", done.stderr
