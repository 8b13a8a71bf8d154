"""What this machine has and lacks of what the project needs, and what mends it.

Works where MXNet, numpy or both are broken: each package is imported in a process of
its own, so that even a crash is a finding.
"""

from __future__ import annotations

import ctypes
import json
import platform
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from .._compat import LIBRARIES, MACHINE, NUMPY, PIP, PYTHONS, REINSTALL, THESE_PYTHONS

DEBIAN_DATA = "dataset-fashion-mnist"

#: Package -> what is expected of it, and the code that shows whether it works.
PACKAGES = {
    "numpy": (NUMPY, "import numpy; version = numpy.__version__"),
    "mxnet": (
        "1.9.1",
        "import d2l_mlp, mxnet; version = mxnet.__version__; "
        "ones = mxnet.nd.ones((300, 300)); "
        "assert (mxnet.nd.dot(ones, ones) == 300).min().asscalar() == 1",
    ),
    # GluonCV's own __version__ is not that of its release.
    "gluoncv": (
        "0.10.5.post0",
        "import d2l_mlp, gluoncv, importlib.metadata as metadata; "
        "version = metadata.version('gluoncv')",
    ),
    "matplotlib": (
        "3.*",
        "import matplotlib.pyplot; version = matplotlib.__version__",
    ),
}
PROBE = """
import json
try:
    {code}
    answer = dict(version=version)
except Exception as error:
    cause = getattr(error, "cause", None) or f"{{type(error).__name__}}: {{error}}"
    answer = dict(cause=cause, mend=getattr(error, "mend", None))
print()
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        ok: whether it will do.
        found: what there is.
        expected: what there should be.
        mend: what to do about it, a command where there is one; empty when ok.
    """

    name: str
    ok: bool
    found: str
    expected: str
    mend: str = ""


def diagnose(root: Path | None = None) -> list[Check]:
    """Look at all that the project needs of this machine; takes some seconds.

    Args:
        root: folder of the data files; Gluon's own by default.
    """
    with ThreadPoolExecutor() as pool:
        packages = pool.map(check_package, PACKAGES)
        return [
            check_python(),
            check_machine(),
            *map(check_library, LIBRARIES),
            *packages,
            check_data(root),
        ]


def report(checks: Iterable[Check], console: Console) -> None:
    """Print a line for each check, and below each failed one what mends it."""
    for check in checks:
        mark = "[green]✓[/]" if check.ok else "[red]✗[/]"
        line = f"{mark} {check.name:<17} {escape(check.found)}"
        console.print(line, soft_wrap=True, markup=True)
        if not check.ok:
            for line in (f"  expected: {check.expected}", f"  to mend:  {check.mend}"):
                console.print(line, soft_wrap=True, markup=False)


def check_python() -> Check:
    """Check that MXNet 1.9.1 and its numpy exist for this Python."""
    found = f"{platform.python_version()} ({sys.executable})"
    ok = sys.version_info[:2] in PYTHONS
    return _check("Python", ok, found, THESE_PYTHONS, "make clean setup")


def check_machine() -> Check:
    """Check that this is the one kind of machine that MXNet's wheel is built for."""
    libc = platform.libc_ver()[0]
    found = f"{platform.system()} {platform.machine()} {libc or 'without glibc'}"
    mend = "use an x86-64 machine with Debian or Ubuntu, or the Dockerfile on one"
    return _check(
        "machine", found == f"{MACHINE} glibc", found, f"{MACHINE} glibc", mend
    )


def check_library(name: str) -> Check:
    """Check that the system has the shared library ``name``."""
    try:
        ctypes.CDLL(name)
        found, ok = "found", True
    except OSError as error:
        found, ok = str(error), False
    mend = f"sudo apt-get install {LIBRARIES[name]}"
    return _check(name, ok, found, "a library that loads", mend)


def check_package(name: str) -> Check:
    """Check that the package ``name`` imports, in a process of its own."""
    expected, code = PACKAGES[name]
    process = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if process.returncode:
        found = _death(process.returncode, process.stderr)
        return Check(name, False, found, expected, REINSTALL)
    answer = json.loads(process.stdout.splitlines()[-1])
    if "version" not in answer:
        mend = answer["mend"] or REINSTALL
        return Check(name, False, answer["cause"], expected, mend)
    # MXNet loads with any numpy 1, and on Python 3.13 with 2.1 to 2.3, which is what
    # the probe of it shows.
    start = {"numpy": NUMPY[:2], "matplotlib": "3."}.get(name, expected)
    ok = answer["version"].startswith(start)
    mend = f"{PIP} {shlex.quote(f'{name}=={expected}')}"
    return _check(name, ok, answer["version"], expected, mend)


def check_data(root: Path | None = None) -> Check:
    """Check that the four files of Fashion-MNIST are here, and of which release."""
    expected = "the four files of one release"
    mend = (
        f"sudo apt-get install {DEBIAN_DATA}; without it, the first use downloads them"
    )
    try:
        from ..dataset.releases import (
            DEBIAN_FOLDER,
            default_root,
            is_whole,
            read_folder,
            release_ids,
        )
    except Exception:
        found = "cannot be read without numpy"
        return Check("Fashion-MNIST", False, found, expected, "mend numpy first")
    folders = [(root or default_root()).expanduser(), DEBIAN_FOLDER]
    faults = []
    for folder in folders:
        files, faulty = read_folder(folder)
        if is_whole(files):
            found = f"release {release_ids(files)[0]} in {folder}"
            return Check("Fashion-MNIST", True, found, expected)
        faults += faulty
    found = "; ".join(faults) or f"none in {' or '.join(map(str, folders))}"
    return Check("Fashion-MNIST", False, found, expected, mend)


def _check(name: str, ok: bool, found: str, expected: str, mend: str) -> Check:
    return Check(name, ok, found, expected, "" if ok else mend)


def _death(returncode: int, stderr: str) -> str:
    if returncode < 0:
        return f"its import crashes Python ({signal.Signals(-returncode).name})"
    return stderr.strip().splitlines()[-1] if stderr.strip() else f"exit {returncode}"
