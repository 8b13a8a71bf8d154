"""What this machine has and lacks of what the project needs, and what mends it.

Works where MXNet, NumPy or both are broken: each package is imported in a process of
its own, so that even a crash is a finding. Why MXNet does not load, be it the Python,
the machine, a shared library or NumPy, is what ``_unavailable.explain`` says.
"""

from __future__ import annotations

import ast
import platform
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .._unavailable import REINSTALL

#: Package -> code that uses it. Importing d2l_mlp loads MXNet, or says why it cannot.
PACKAGES = {
    "numpy": "import numpy",
    "mxnet": "import d2l_mlp; from mxnet import nd; A = nd.ones((300, 300)); "
    "assert (nd.dot(A, A) == 300).min().asscalar() == 1",
    "gluoncv": "import d2l_mlp, gluoncv",
    "matplotlib": "import matplotlib.pyplot",
}
#: Its last line is what was found, and what mends it.
PROBE = """
from importlib.metadata import version
try:
    {code}
    answer = version({name!r}), ""
except Exception as error:
    cause = getattr(error, "cause", f"{{type(error).__name__}}: {{error}}")
    answer = cause, getattr(error, "mend", {reinstall!r})
print()
print(answer)
"""


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        found: what there is, or what is wrong.
        mend: what to do about it, a command where there is one; empty if all is well.
    """

    name: str
    found: str
    mend: str = ""


def diagnose(root: Path | None = None) -> list[Check]:
    """Look at all that the project needs of this machine; takes some seconds.

    Args:
        root: folder of the data files; Gluon's own by default.
    """
    with ThreadPoolExecutor() as pool:
        return [*pool.map(check_package, PACKAGES), check_data(root)]


def report(checks: Iterable[Check], console: Console) -> None:
    """Print this machine, a line for each check, and what mends a failed one."""
    system = platform.system(), platform.machine(), platform.libc_ver()[0]
    python = f"Python {platform.python_version()} ({sys.executable})"
    console.print(f"{python}, {' '.join(system)}", soft_wrap=True)
    for check in checks:
        mark = Text("✗", "red") if check.mend else Text("✓", "green")
        console.print(mark, f"{check.name:<17} {check.found}", soft_wrap=True)
        if check.mend:
            console.print(f"  to mend:  {check.mend}", soft_wrap=True)


def check_package(name: str) -> Check:
    """Check that the package ``name`` imports and works, in a process of its own."""
    probe = PROBE.format(name=name, code=PACKAGES[name], reinstall=REINSTALL)
    command = [sys.executable, "-c", probe]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode < 0:
        crash = signal.Signals(-child.returncode).name
        return Check(name, f"its import crashes Python ({crash})", REINSTALL)
    if child.returncode:
        return Check(name, child.stderr.strip().rpartition("\n")[2], REINSTALL)
    return Check(name, *ast.literal_eval(child.stdout.splitlines()[-1]))


def check_data(root: Path | None = None) -> Check:
    """Check that the four files of Fashion-MNIST are here, and of which release."""
    try:
        from ..dataset import releases
    except Exception:
        return Check(
            "Fashion-MNIST", "cannot be read without NumPy", "mend NumPy first"
        )
    folders = [(root or releases.default_root()).expanduser(), releases.DEBIAN_FOLDER]
    faults = []
    for folder in folders:
        files, faulty = releases.read_folder(folder)
        if releases.is_whole(files):
            (release,) = releases.release_ids(files)
            return Check("Fashion-MNIST", f"release {release} in {folder}")
        faults += faulty
    found = "; ".join(faults) or f"none in {' or '.join(map(str, folders))}"
    mend = "sudo apt-get install dataset-fashion-mnist, or the first use downloads it"
    return Check("Fashion-MNIST", found, mend)
