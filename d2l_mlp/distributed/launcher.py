"""MXNet's own launcher, with what it lacks on a Python of today.

``launch`` starts it as ``python -m d2l_mlp.distributed.launcher``, in a session of its
own, so that all that it starts on this machine can be ended together. It starts the
scheduler here, and servers and workers here or on other hosts, all by the same command.
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
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from .. import _stop, _threads


def launch(
    command: list[str],
    num_workers: int,
    num_servers: int,
    hosts: Path | None = None,
    host_ip: str | None = None,
) -> int:
    """Run ``command`` as scheduler, servers and workers.

    However this process ends, nothing that it has started on this machine is left.

    Args:
        command: program and arguments; on other hosts in the folder of the same name.
        num_workers: how many workers.
        num_servers: how many servers to keep the parameters.
        hosts: file of the hosts' addresses, one a line; they take servers and workers
            in turns, over ssh. This machine alone by default.
        host_ip: address of this machine that the hosts can reach.

    Returns:
        0 if all processes ended well, 1 if one failed.

    Raises:
        ValueError: a line of ``hosts`` is not an address, or there is none; ``host_ip``
            is not an address; or ``command`` has a line break.
        MXNetUnavailable: the environment's number of threads is not a number.
    """
    if host_ip is not None and not _is_address(host_ip):
        raise ValueError(
            f"host_ip: found {host_ip!r}, expected this machine's IPv4 address"
        )
    _threads.check_environment()
    num_hosts = 1 if hosts is None else _count_hosts(hosts)
    # As one argument: MXNet's launcher would look for options of its own among several.
    line = " ".join(map(quote, command))
    arguments = ["-n", str(num_workers), "-s", str(num_servers), "--launcher"]
    environment = dict(os.environ)
    if hosts is None:
        arguments += ["local", line]
        # Nobody has to come from outside.
        environment["DMLC_NODE_HOST"] = "127.0.0.1"
    else:
        arguments += ["ssh", "-H", str(hosts.absolute()), line]
        arguments += ["--host-ip", host_ip] if host_ip else []
    workers_here = -(-num_workers // num_hosts)
    share = max(1, _threads.count_processors() // workers_here)
    environment["D2L_MLP_NUM_THREADS"] = str(min(share, _threads.num_threads()))
    return _run([sys.executable, "-m", __name__, *arguments], environment)


def quote(argument: str) -> str:
    """Return ``argument`` for a shell, also within single quotes of another shell.

    MXNet's launcher joins arguments with spaces, and for ssh puts all in single quotes:
    the result has none.

    Raises:
        ValueError: a line break or NUL, which cannot be passed on so.
    """
    if re.search(r"[\n\r\0]", argument):
        raise ValueError(f"command: found {argument!r}, expected no line break in it")
    escaped = re.sub(r"([^\w@%+=:,./-])", r"\\\1", argument)
    return escaped.replace(r"\'", r'"$(printf \\047)"') or '""'


def _count_hosts(path: Path) -> int:
    # A file that is not text has no address either.
    lines = path.read_text(errors="replace").splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{path}: found no host, expected an address a line")
    for line in lines:
        # Servers and workers listen on the address; they cannot on a name.
        parts = re.fullmatch(r"([\d.]+)(:\d+)?(\s+slots=\d+)?", line)
        if parts is None or not _is_address(parts[1]):
            raise ValueError(
                f"{path}: found {line[:60]!r}, expected an IPv4 address, as 10.0.0.2 "
                "or 10.0.0.2:22 (another user belongs into ~/.ssh/config)"
            )
    return len(lines)


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        ipaddress.IPv4Address(text)
        return True
    return False


def _run(arguments: list[str], environment: dict[str, str]) -> int:
    """Run MXNet's launcher; when it ends, end what is left of all that it started."""
    words = "its processes on this machine end too"
    # It sees its standard input close when this process ends, even by SIGKILL.
    with (
        _stop.hint(lambda: words),
        subprocess.Popen(
            arguments, env=environment, stdin=subprocess.PIPE, start_new_session=True
        ) as process,
    ):
        try:
            return int(process.wait() != 0)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _main() -> None:
    """Be MXNet's launcher, but end all processes as soon as one of them fails."""
    # Gone since Python 3.9.
    threading.Thread.isAlive = threading.Thread.is_alive  # type: ignore[attr-defined]
    threading.excepthook = _end_all
    from dmlc_tracker import tracker

    if "local" in sys.argv:
        # It asks the network for an address of this machine, and there may be none.
        tracker.get_host_ip = lambda given=None: "127.0.0.1"
    # It looks for a free port from 9091 on, and the scheduler takes it seconds later:
    # two runs started at once would both find the same.
    first = random.randrange(10_000, 30_000)
    tracker.PSTracker = partial(tracker.PSTracker, port=first, port_end=32_768)
    orphaned = threading.Thread(target=_end_with_parent, daemon=True)
    orphaned.start()
    spec = find_spec("mxnet")
    assert spec is not None and spec.origin is not None
    program = Path(spec.origin).with_name("tools") / "launch.py"
    runpy.run_path(str(program), run_name="__main__")
    # It has waited for the scheduler alone.
    for thread in threading.enumerate():
        if thread not in (threading.current_thread(), orphaned):
            thread.join()


def _end_all(failure: threading.ExceptHookArgs) -> None:
    """Say which process has failed, and how, in one line; then end all."""
    # Its text is a command with the whole environment, or with exports for ssh.
    error = failure.exc_value
    role = re.search(r"DMLC_ROLE\W+(\w+)", str(error))
    found = re.search(r"return code=(-?\d+)", str(error))
    code = int(found[1]) if found else getattr(error, "returncode", None)
    if code is None:
        how = f"failed: {error}"
    elif code < 0 or 128 < code < 255:
        # A shell adds 128 to the signal's number; ssh itself fails with 255.
        how = f"was ended by signal {abs(code) % 128}"
    else:
        how = f"ended with code {code}"
    name = role[1] if role else "scheduler"
    message = f"error: a {name} {how}; the others are ended"
    print(message, file=sys.stderr, flush=True)
    os.killpg(0, signal.SIGKILL)


def _end_with_parent() -> None:
    """Wait until the parent has ended, however it did; then end all."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _main()
