"""Ctrl-C ends a command at once, with one line and exit code 130."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import execute, start, wait_until


def has_begun_to_import(process):
    """Return whether MXNet's library is being loaded."""
    with contextlib.suppress(OSError):
        return "libmxnet" in Path(f"/proc/{process.pid}/maps").read_text()
    return False


def interrupt(process, repeat=1):
    began = time.monotonic()
    for _ in range(repeat):
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    return process.returncode, errors


@pytest.mark.parametrize("repeat", [1, 3])
def test_a_command_interrupted_while_it_imports(tmp_path, repeat):
    process = start("-m", "d2l_mlp", "book", "--output", tmp_path)
    wait_until(lambda: has_begun_to_import(process), 30)
    assert interrupt(process, repeat) == (130, "stopped\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["book", "--output", "{}"],
        ["book", "--fast", "--output", "{}"],
        ["compare", "--output", "{}"],
    ],
    ids=" ".join,
)
def test_a_command_interrupted_after_its_first_line(tmp_path, arguments):
    process = start("-u", "-m", "d2l_mlp", *(a.format(tmp_path) for a in arguments))
    assert process.stdout.readline()
    code, errors = interrupt(process)
    assert code == 130 and re.fullmatch(r"stopped(; what ended .*)?\n", errors)


@pytest.mark.parametrize(("exercise", "wait"), [("3", 0), ("3", 0.5), ("4", 0.2)])
def test_workers_that_are_starting_say_nothing(tmp_path, exercise, wait):
    """A terminal sends it to all processes, and Python tells of it while it imports."""
    command = ["-m", "d2l_mlp", "exercise", exercise, "--output", tmp_path]
    process = start(*command, start_new_session=True)
    wait_until(lambda: workers_of(process.pid), 30)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"stopped; what ended is kept in .*\n", errors), errors
    wait_until(lambda: not workers_of(process.pid), 10)


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
import signal
from d2l_mlp import _stop

_stop.end_at_interrupt()
with _stop.hint(lambda: "outer"), _stop.hint(lambda: "as it should"):
    {}
print("there")
"""


@pytest.mark.parametrize(
    "body",
    [
        "signal.raise_signal(signal.SIGINT)",
        # A library that swallows every exception, and a destructor, which loses it.
        "try:\n        signal.raise_signal(signal.SIGINT)\n    except: pass",
        "type('A', (), {'__del__': lambda self: signal.raise_signal(signal.SIGINT)})()",
    ],
)
def test_no_interrupt_is_lost(body):
    done = execute("-c", SCRIPT.format(body))
    assert (done.returncode, done.stderr) == (130, "stopped; as it should\n")
    assert not done.stdout


def test_a_hint_that_fails_does_not_hide_the_line():
    script = SCRIPT.replace('lambda: "as it should"', "lambda: 1 / 0")
    done = execute("-c", script.format("signal.raise_signal(signal.SIGINT)"))
    assert (done.returncode, done.stderr) == (130, "stopped\n")


def test_it_ends_as_well_if_nobody_reads_what_it_says():
    """As where ``tee`` was stopped by the same keys."""
    reader, writer = os.pipe()
    os.close(reader)
    script = "from d2l_mlp import _stop; _stop.end()"
    done = subprocess.run([sys.executable, "-c", script], stderr=writer, stdout=writer)
    os.close(writer)
    assert done.returncode == 130


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("begin", "message"),
    [("_stop.end_at_interrupt(); ", "stopped"), ("", "KeyboardInterrupt")],
    ids=["command", "program"],
)
def test_a_file_half_written_is_put_away(tmp_path, begin, message, kept):
    if kept:
        (tmp_path / "file").write_bytes(b"as it was")
    script = "import os, signal; from pathlib import Path; "
    script += "from d2l_mlp import _files, _stop; " + begin
    script += "os.fsync = lambda file: signal.raise_signal(signal.SIGINT); "
    script += f"_files.write_whole(Path({str(tmp_path)!r}) / 'file', b'new')"
    assert message in execute("-c", script).stderr
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == ({"file": b"as it was"} if kept else {})


def test_where_interrupts_are_ignored_they_still_are():
    """As with a shell's ``&``, whose processes Ctrl-C is not meant for."""
    done = execute(
        "-c",
        SCRIPT.format("signal.raise_signal(signal.SIGINT)"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.stdout == "there\n", done.stderr
