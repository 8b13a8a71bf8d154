"""Runs of several processes: started by hand or by `launch`, found again by a mark."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import redirect_stdout
from pathlib import Path

SETPRIV = shutil.which("setpriv")
LINE = r"epoch (\d+), loss (\S+), train acc (\S+), test acc (\S+)"
PYTHON = [sys.executable, "-m", "d2l_mlp"]


def clean_environment(**more):
    """Return this one's without a launcher's, and one thread for each process.

    Teams of threads would wait for each other where other tests keep the processors.
    """
    kept = {k: v for k, v in os.environ.items() if not re.match("DMLC_|PS_", k)}
    kept |= {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return kept | {k: str(v) for k, v in more.items()}


def in_this_process(*arguments):
    """Return what a command prints that starts no other process."""
    from d2l_mlp.commands import cli

    from matplotlib import pyplot

    with redirect_stdout(io.StringIO()) as printed:
        cli.app(list(map(str, arguments)), standalone_mode=False)
    pyplot.close("all")
    return printed.getvalue()


def numbers(text):
    """Return the numbers of each epoch's line."""
    return [[float(n) for n in found] for found in re.findall(LINE, text)]


class Child(subprocess.Popen):
    """A process that ends with the tests, however they end, killed as well.

    By a program of the system's: a function to call before the start would have MXNet
    fork. Those of a thread are left out, since they would end with their thread.
    """

    def __init__(self, command, *arguments, **options):
        in_main_thread = threading.current_thread() is threading.main_thread()
        if SETPRIV and in_main_thread and not isinstance(command, str):
            command = [SETPRIV, "--pdeathsig", "KILL", "--", *map(str, command)]
        super().__init__(command, *arguments, **options)


def start(*arguments, **options):
    """Start Python with ``arguments``; its output is read by the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, **{"env": clean_environment()} | pipes | options)


def execute(*arguments, timeout=300, **options):
    """Run Python with ``arguments`` to its end."""
    process = start(*arguments, **options)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


class Group:
    """Processes that share a mark in their environment, wherever they hang."""

    def __init__(self):
        self.mark = uuid.uuid4().hex
        self.processes = []

    def start(self, arguments, stdout=subprocess.PIPE, **environment):
        self.processes.append(
            subprocess.Popen(
                list(map(str, arguments)),
                env=clean_environment(TEST_MARK=self.mark, **environment),
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.processes[-1]

    def alive(self, role=""):
        """Return the ids of the living Python processes with this role."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environment = (path / "environ").read_bytes().decode().split("\0")
                command = (path / "cmdline").read_bytes().decode()
            except OSError:
                continue
            marks = {f"TEST_MARK={self.mark}", role and f"DMLC_ROLE={role}"} - {""}
            if marks <= set(environment) and command.startswith(sys.executable):
                found.append(int(path.name))
        return found

    def end(self):
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.kill()
            process.communicate()


def free_port(host="127.0.0.1"):
    with socket.socket() as one:
        one.bind((host, 0))
        return one.getsockname()[1]


def wait_until(condition, seconds):
    """Return how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.05)
    return time.monotonic() - start
