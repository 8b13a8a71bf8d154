"""Ctrl-C ends a command at once, with one line and exit code 130."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import wait_until


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


@pytest.mark.parametrize("wait", [0, 0.1, 0.5, 1])
@pytest.mark.parametrize("exercise", ["3", "4"])
def test_workers_that_are_starting_say_nothing(tmp_path, exercise, wait):
    """A terminal sends it to all processes, and Python tells of it while it imports."""
    process = subprocess.Popen(
        [sys.executable, "-m", "d2l_mlp", "exercise", exercise, "--output", tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: workers_of(process.pid), 30)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"stopped; what ended is kept in .*\n", errors), errors


def workers_of(session):
    """Return the ids of the processes that multiprocessing has started in a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_worker = b"spawn_main" in (path / "cmdline").read_bytes()
            if is_worker and os.getsid(int(path.name)) == session:
                found.append(int(path.name))
    return found


SCRIPT = """
import os, signal, sys, time
from d2l_mlp import _stop

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Array:
    def __del__(self):
        interrupt()

def swallow():
    try:
        interrupt()
    except:
        pass

_stop.end_at_once()
try:
    with _stop.raising(lambda: "as it should"):
        {}
        time.sleep(20)
except KeyboardInterrupt as stop:
    _stop.end(*stop.args)
"""


def execute(script, **options):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize("lost", ["Array()", "swallow()", "interrupt()"])
def test_an_interruption_is_not_lost(lost):
    start = time.monotonic()
    done = execute(SCRIPT.format(lost))
    assert (done.returncode, done.stderr) == (130, "stopped; as it should\n")
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("lost", ["Array()", "swallow()"])
def test_nor_if_the_body_ends_before_it_is_repeated(lost):
    done = execute(SCRIPT.format(lost).replace("        time", "    time"))
    assert (done.returncode, done.stderr) == (130, "stopped; as it should\n")


CLEAN_UP = """try:
            interrupt()
        finally:
            time.sleep(1)
            print("clean")"""


def test_the_repetition_lets_what_cleans_up_come_to_its_end():
    script = SCRIPT.replace('lambda: "as', 'lambda: time.sleep(1) or "as')
    done = execute(script.format(CLEAN_UP))
    assert (done.returncode, done.stderr) == (130, "stopped; as it should\n")
    assert done.stdout == "clean\n"


def test_it_ends_as_well_if_nobody_reads_what_it_says():
    """As where ``tee`` was stopped by the same keys."""
    reader, writer = os.pipe()
    os.close(reader)
    script = "from d2l_mlp import _stop; _stop.end()"
    done = subprocess.run([sys.executable, "-c", script], stderr=writer, stdout=writer)
    os.close(writer)
    assert done.returncode == 130


def test_it_passes_no_library_that_swallows_it_where_nothing_is_to_be_put_away():
    done = execute(SCRIPT.replace("try:\n    with", "swallow()\ntry:\n    with"))
    assert (done.returncode, done.stderr) == (130, "stopped\n")


@pytest.mark.parametrize("kept", [True, False])
def test_a_file_half_written_is_put_away(tmp_path, kept):
    if kept:
        (tmp_path / "file").write_bytes(b"as it was")
    script = "import os, signal; from pathlib import Path; "
    script += "from d2l_mlp import _files, _stop; _stop.end_at_once(); "
    script += "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGINT); "
    script += f"_files.write_whole(Path({str(tmp_path)!r}) / 'file', b'new')"
    assert "KeyboardInterrupt" in execute(script).stderr
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == ({"file": b"as it was"} if kept else {})


def test_programs_of_others_keep_their_own_way():
    script = "import signal; from d2l_mlp import _stop; before = signal.getsignal(2)\n"
    script += "with _stop.raising(): assert signal.getsignal(2) is before; print(1)"
    assert execute(script).stdout == "1\n"


def test_other_errors_in_a_destructor_are_told_as_ever():
    script = SCRIPT.replace("os.kill(os.getpid(), signal.SIGINT)", "1 / 0")
    done = execute(script.replace("time.sleep(20)", "sys.exit(0)").format("Array()"))
    assert done.returncode == 0 and "ZeroDivisionError" in done.stderr


def test_where_interruptions_are_ignored_they_still_are():
    """As with a shell's ``&``, whose processes Ctrl-C is not meant for."""
    script = "import signal; from d2l_mlp import _stop; _stop.end_at_once(); "
    script += "stopping = _stop.raising(); stopping.__enter__(); "
    script += "signal.raise_signal(signal.SIGINT); print('there')"
    done = execute(
        script, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert done.stdout == "there\n", done.stderr
