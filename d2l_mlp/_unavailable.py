"""Why MXNet cannot be loaded, and what mends it."""

from __future__ import annotations

import platform
import re
import sys
from typing import Any

PYTHONS = "3.10 to 3.13"
MACHINE = "Linux x86_64"
PIP = f"{sys.executable} -m pip install"
#: Mends an environment that lacks packages or has wrong ones.
REINSTALL = f"make clean setup, or {PIP} --no-deps -r requirements.txt"

#: The numpy that requirements.txt has for this Python.
NUMPY = {(3, 12): "1.26.4", (3, 13): "2.1.3"}.get(sys.version_info[:2], "1.23.5")

#: Shared library of the system -> the Debian package that brings it.
LIBRARIES = {"libgomp.so.1": "libgomp1", "libquadmath.so.0": "libquadmath0"}


class MXNetUnavailable(ImportError):
    """MXNet cannot be loaded.

    Attributes:
        cause: what is wrong.
        mend: what to do about it, a command where there is one.
    """

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(
            f"MXNet cannot be loaded: {cause}. To mend it: {mend}. "
            "For all that this machine has and lacks, run `python -m d2l_mlp doctor`"
        )
        self.cause = cause
        self.mend = mend


def explain(error: Exception) -> tuple[str, str]:
    """Return why ``import mxnet`` raised ``error``, and what mends it."""
    machine = f"{platform.system()} {platform.machine()}"
    version = platform.python_version()
    numpy: Any = sys.modules.get("numpy")
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    library = re.search(r"(\S+\.so[.\d]*): cannot open shared object", str(error))

    if machine != MACHINE:
        return f"found {machine}, expected {MACHINE}", "use such a machine, or Docker"
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return f"found Python {version}, expected {PYTHONS}", "make clean setup"
    if missing == "distutils":
        cause = "distutils is missing, as Python 3.12 has none"
        return cause, f"{PIP} 'setuptools>=77,<80'"
    if missing:
        return f"the package {missing} is not installed", REINSTALL
    major, minor = numpy_version(numpy)
    if (major, minor) >= (2, 4) or major > int(NUMPY[0]):
        cause = f"found numpy {numpy.__version__}, expected {NUMPY}"
        return cause, f"{PIP} numpy=={NUMPY}"
    if library:
        name = library[1]
        package = LIBRARIES.get(name, f"the package that has {name}")
        cause = f"the shared library {name} is missing"
        return cause, f"sudo apt-get install {package}"
    return f"{type(error).__name__}: {error}", REINSTALL


def numpy_version(numpy: Any) -> tuple[int, int]:
    """Return the major and minor version of NumPy; ``(0, 0)`` for None."""
    # What is left of a half-removed numpy has no version.
    version = getattr(numpy, "__version__", "0.0")
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
