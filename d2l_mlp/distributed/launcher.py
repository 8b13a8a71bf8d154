"""Around the launcher that MXNet's wheel carries: what it lacks on a Python of today.

``launch`` starts it as ``python -m d2l_mlp.distributed.launcher``, in a session of its
own, so that all that it starts on this machine can be ended together. It starts the
scheduler here, servers and workers here or on other hosts, all with the same command.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from .. import _stop, _threads

#: Seconds that processes have to end when told to.
GRACE = 1.0


def launch(
    command: list[str],
    num_workers: int,
    num_servers: int,
    hosts: Path | None = None,
    host_ip: str | None = None,
) -> int:
    """Run ``command`` as scheduler, servers and workers; return 0 if all ended well.

    Args:
        command: program and arguments; on other hosts in the folder of this name.
        num_workers: how many workers.
        num_servers: how many servers to keep the parameters.
        hosts: file of the hosts' addresses, one a line; they take servers and workers
            in turns, over ssh. This machine alone by default.
        host_ip: address of this machine that the hosts can reach.

    Returns:
        1 if a process failed, 130 if the user (or SIGTERM) stopped it; nothing that it
        started here is left.

    Raises:
        ValueError: ``hosts`` has a line that is no address, or none; or ``host_ip`` is
            none.
        MXNetUnavailable: the environment has a number of threads that is none.
    """
    if host_ip is not None and not _is_address(host_ip):
        raise ValueError(
            f"host_ip: found {host_ip!r}, expected this machine's IPv4 address"
        )
    _threads.check_environment()
    num_hosts = 1 if hosts is None else len(_read_hosts(hosts))
    arguments = ["-n", str(num_workers), "-s", str(num_servers)]
    # As one argument: the launcher would look for options of its own among several.
    line = " ".join(map(quote, command))
    environment = dict(os.environ)
    if hosts is None:
        arguments += ["--launcher", "local", line]
        # Nothing has to come from outside.
        environment["DMLC_NODE_HOST"] = "127.0.0.1"
    else:
        arguments += ["--launcher", "ssh", "-H", str(hosts.absolute()), line]
        arguments += ["--host-ip", host_ip] if host_ip else []
    workers_here = -(-num_workers // num_hosts)
    share = max(1, _threads.count_processors() // workers_here)
    environment["D2L_MLP_NUM_THREADS"] = str(min(share, _threads.num_threads()))
    return _run([sys.executable, "-m", __name__, *arguments], environment)


def quote(argument: str) -> str:
    """Return ``argument`` for a shell, also within single quotes of another shell.

    The launcher joins arguments with spaces, and for ssh puts all in single quotes:
    none may be in it.

    Raises:
        ValueError: a line break or NUL, which cannot be passed on so.
    """
    if re.search(r"[\n\r\0]", argument):
        raise ValueError(f"command: found {argument!r}, expected no line break in it")
    escaped = re.sub(r"([^\w@%+=:,./-])", r"\\\1", argument)
    return escaped.replace(r"\'", r'"$(printf \\047)"') or '""'


def _read_hosts(path: Path) -> list[str]:
    # What is no text is no address either.
    text = path.read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path}: found no host, expected an address a line")
    for line in lines:
        # Servers and workers listen on it, and cannot on a name.
        parts = re.fullmatch(r"([\d.]+)(:\d+)?(\s+slots=\d+)?", line)
        if parts is None or not _is_address(parts[1]):
            raise ValueError(
                f"{path}: found {line[:60]!r}, expected an IPv4 address, as 10.0.0.2 "
                "or 10.0.0.2:22 (another user belongs into ~/.ssh/config)"
            )
    return lines


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _run(arguments: list[str], environment: dict[str, str]) -> int:
    """Run the launcher; when it ends, or this process is told to, end all of it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(
        arguments, env=environment, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        code = process.wait()
        return min(max(code, -code), 1)
    except KeyboardInterrupt:
        print("stopped: all processes on this machine are ended", file=sys.stderr)
        return _stop.STOPPED
    finally:
        # Pressed again, they must not end this before the others have.
        _stop.ignore()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_group(process.pid)
        process.wait()


def _end_group(group: int) -> None:
    deadline = time.monotonic() + GRACE
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)


def _main() -> None:
    """Be MXNet's launcher, with what it lacks; fail as soon as one process fails."""
    # Gone since Python 3.9.
    threading.Thread.isAlive = threading.Thread.is_alive  # type: ignore[attr-defined]
    threading.excepthook = _report
    from dmlc_tracker import tracker

    if "local" in sys.argv:
        # It asks the network for an address of this machine, and there may be none.
        tracker.get_host_ip = lambda given=None: "127.0.0.1"
    # It looks for a free port from 9091 on, and the scheduler takes it seconds later:
    # of two runs started at once both would find the same.
    first = random.randrange(10_000, 30_000)
    tracker.PSTracker = partial(tracker.PSTracker, port=first, port_end=32_768)
    orphaned = threading.Thread(target=_end_with_parent, daemon=True)
    orphaned.start()
    spec = find_spec("mxnet")
    assert spec is not None and spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0], "tools", "launch.py")
    runpy.run_path(str(program), run_name="__main__")
    # It waits for the scheduler alone.
    for thread in threading.enumerate():
        if thread not in (threading.current_thread(), orphaned):
            thread.join()


def _report(failure: threading.ExceptHookArgs) -> None:
    """Say which process has failed, in place of a trace with the whole environment."""
    error = failure.exc_value
    role = re.search(r"DMLC_ROLE\W+(\w+)", str(error))
    found = re.search(r"return code=(-?\d+)", str(error))
    code = int(found[1]) if found else getattr(error, "returncode", None)
    if code is None:
        how = f"failed: {error}"
    elif code < 0 or code > 128:
        # A shell adds 128 to the signal's number.
        how = f"was ended by signal {-code if code < 0 else code - 128}"
    else:
        how = f"ended with code {code}"
    print(
        f"error: a {role[1] if role else 'scheduler'} {how}; the others are ended",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _end_with_parent() -> None:
    """Wait until the parent is gone, however it went, and end what was started here."""
    sys.stdin.read()
    os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    _main()
