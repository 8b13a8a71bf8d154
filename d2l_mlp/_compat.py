"""What MXNet 1.9.1 needs of its surroundings, done before it loads; nothing else.

MXNet's last release reads names that numpy has dropped since, its library wants two
shared libraries of the system, and the OpenBLAS inside it does not know the processors
that came after it. Here the names are given back, the kernels are chosen, and a failure
to load is told in one message.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
#: The same in words.
THESE_PYTHONS = " to ".join(".".join(map(str, PYTHONS[i])) for i in (0, -1))

MACHINE = "Linux x86_64"
PIP = f"{sys.executable} -m pip install"
#: Mends an environment that lacks packages or has wrong ones.
REINSTALL = f"make clean setup, or {PIP} --no-deps -r requirements.txt"

#: The numpy that requirements.txt has for this Python.
NUMPY = {(3, 12): "1.26.4", (3, 13): "2.1.3"}.get(sys.version_info[:2], "1.23.5")

#: What numpy 2 has dropped of the names that MXNet reads -> what it calls them now.
RENAMED_BY_NUMPY_2 = {
    **{"Inf": "inf", "PINF": "inf", "NaN": "nan", "NAN": "nan"},
    **{"alltrue": "all", "sometrue": "any", "product": "prod", "round_": "round"},
}
#: The ones that numpy 1 has too only to say that they are gone.
FINANCIAL = ("mirr", "npv", "pmt", "ppmt", "pv", "rate")

#: Shared library of the system -> the Debian package that brings it.
LIBRARIES = {"libgomp.so.1": "libgomp1", "libquadmath.so.0": "libquadmath0"}

#: What OpenBLAS's Haswell kernels are compiled for, as /proc/cpuinfo names it.
HASWELL = {"avx2", "fma"}


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


def prepare() -> None:
    """Ready numpy and the environment for MXNet; may be called any number of times.

    A numpy older than 1.24 has all names, and without any there is nothing to ready.
    """
    if "mxnet" not in sys.modules:
        choose_kernels()
        choose_engine()
    try:
        import numpy
    except ImportError:
        return
    # The names stay after the import: MXNet reads some again, as `bool` whenever an
    # array is made or masked under `mx.np`. Until numpy 1.23 that was this same alias.
    if (1, 24) <= _version(numpy) < (2, 0):
        numpy.bool = bool  # type: ignore[attr-defined]
    if _version(numpy) >= (2, 0):
        give_names_of_numpy_1(numpy)


def give_names_of_numpy_1(numpy: Any) -> None:
    """Give numpy 2.0 to 2.3 the names that MXNet reads; those it has stay."""
    # Of a half-removed numpy there may be none, which load_mxnet tells.
    now = {old: vars(numpy).get(new) for old, new in RENAMED_BY_NUMPY_2.items()}
    zeros = {"PZERO": 0.0, "NZERO": -0.0, "NINF": float("-inf")}
    gone = {name: partial(_refuse, name) for name in FINANCIAL}
    given = now | zeros | gone | {"msort": lambda a: numpy.sort(a, axis=0)}
    for name, value in given.items():
        vars(numpy).setdefault(name, value)


def _refuse(name: str, *args: Any, **kwargs: Any) -> None:
    raise RuntimeError(f"numpy.{name} is gone; the package numpy-financial has it")


def choose_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Have OpenBLAS use AVX2 where this processor has it; a user's choice stays.

    The wheel's OpenBLAS 0.3.13 picks its kernels by the processor's model, and takes
    the oldest for a model that it does not know: a product of 256×784 and 784×256 took
    3.2 ms on a Xeon of model 207 with one thread, 1.7 ms with two, and 0.76 ms with two
    after this. It has no newer ones, and none for AVX-512.
    """
    try:
        flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return
    if flags and set(flags.group(1).split()) >= HASWELL:
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


def count_processors(
    cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """Return how many processors this process may use; 1 where that cannot be told.

    A container's quota counts as processors do: of two, with a quota of one, it is one.

    Args:
        cgroups: where the system keeps quotas (cgroup v2, or v1's folder ``cpu``).
        own: the file that names this process's group.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 1
    found = [float(len(os.sched_getaffinity(0)))]
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        # A group is held by the quotas of those above it, too. Within a container the
        # path may be the host's, and only the root be there.
        group = Path(path.lstrip("/"))
        found += [_quota(root / folder) for folder in (group, *group.parents)]
    return max(1, int(min(found)))


def _quota(folder: Path) -> float:
    """Return a group's quota in processors, infinite where it has none."""
    files = ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    for names in files:
        try:
            words = " ".join((folder / name).read_text() for name in names).split()
            quota, period = map(float, words)
        except (OSError, ValueError):
            # None is "max".
            continue
        if quota > 0 and period > 0:
            return quota / period
    return math.inf


#: Variables that MXNet or OpenMP read as whole numbers, and how they end the process
#: where one is none -> the largest that is taken.
WHOLE_NUMBERS = {
    "OMP_NUM_THREADS": 1024,
    "D2L_MLP_NUM_THREADS": 1024,
    "MXNET_OMP_MAX_THREADS": 1024,
    "MXNET_CPU_WORKER_NTHREADS": 64,
    "MXNET_CPU_PRIORITY_NTHREADS": 64,
    "MXNET_MP_WORKER_NTHREADS": 64,
    "MXNET_CPU_TEMP_COPY": 64,
}
ENGINES = ("NaiveEngine", "ThreadedEngine", "ThreadedEnginePerDevice")


def check_environment() -> None:
    """Refuse what would end the process, or have it wait for ever, once MXNet loads.

    ``OMP_NUM_THREADS`` is read as OpenMP does: of ``4,2`` the first counts, for the
    outer loops; empty is not set.

    Raises:
        MXNetUnavailable: it names the variable.
    """
    for name, most in WHOLE_NUMBERS.items():
        value = os.environ.get(name, "").strip()
        if name == "OMP_NUM_THREADS":
            value = value.split(",")[0].strip()
        if not value:
            os.environ.pop(name, None)
        elif value.isascii() and value.isdigit() and 1 <= int(value) <= most:
            os.environ[name] = str(int(value))
        else:
            found = f"found {name}={os.environ[name]!r}"
            raise MXNetUnavailable(
                f"{found}, expected a whole number from 1 to {most}", f"unset {name}"
            )
    engine = os.environ.get("MXNET_ENGINE_TYPE", ENGINES[0])
    if engine not in ENGINES:
        raise MXNetUnavailable(
            f"found MXNET_ENGINE_TYPE={engine!r}, expected one of {', '.join(ENGINES)}",
            "unset MXNET_ENGINE_TYPE",
        )
    team, workers = _number("OMP_NUM_THREADS"), _number("MXNET_CPU_WORKER_NTHREADS")
    if team > 1 and workers > 1:
        raise MXNetUnavailable(
            f"found MXNET_CPU_WORKER_NTHREADS={workers} and OMP_NUM_THREADS={team}, in "
            "which two products at once wait for each other for ever",
            "unset one of the two",
        )


def _number(name: str) -> int:
    return int(os.environ.get(name, 1))


def num_threads() -> int:
    """Return how many threads may compute pieces of a static graph's batch.

    No bit depends on it. One where MXNet's own operators have a team, by the user's
    ``OMP_NUM_THREADS``.
    """
    team = _number("OMP_NUM_THREADS")
    return _number("D2L_MLP_NUM_THREADS") if team == 1 else 1


def choose_engine() -> None:
    """Have MXNet compute in the calling thread, with it alone; a choice stays.

    A team of OpenMP threads is 10 to 30 % faster on a quiet machine. Beside another
    program it is four to ten times slower, since each of some 25 operations a step
    waits for its slowest thread (docs/benchmarks.md); its bits depend on its size; and
    two Python threads with a team each wait for each other for ever in OpenBLAS 0.3.13.
    A static graph uses two processors in another way, see ``compiled``.

    MXNet's threaded engine would be faster for the plain loop, and slower for a graph;
    but it loses operations, and then waits for them for ever, where a process forks
    while another of its threads computes.

    Where a user wants a team (``OMP_NUM_THREADS``), for wide layers on a quiet machine
    with many processors, that engine has one thread that computes, and is taken even
    where NaiveEngine is asked for.
    """
    check_environment()
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        # More than two have nothing to do, see bound.num_pieces.
        pieces = min(2, count_processors())
        os.environ.setdefault("D2L_MLP_NUM_THREADS", str(pieces))
    team = _number("OMP_NUM_THREADS")
    os.environ.setdefault("MXNET_ENGINE_TYPE", ENGINES[0])
    if team > 1 and os.environ["MXNET_ENGINE_TYPE"] == ENGINES[0]:
        # Set here for a parent process, or by a user: with a team it would hang.
        os.environ["MXNET_ENGINE_TYPE"] = ENGINES[2]
    if team > 1 and "OMP_WAIT_POLICY" not in os.environ:
        # OpenMP reads it when it loads; by default it is 300,000, some 10 ms.
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    if os.environ.get("DMLC_ROLE", "worker") != "worker":
        # A server that adds takes no processor from the workers beside it, whatever
        # was chosen for them.
        os.environ["OMP_NUM_THREADS"] = "1"
    # It tells of each graph that oneDNN takes up.
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    _survive_forks()


@cache
def _survive_forks() -> None:
    """Let forked processes, as the workers of Gluon's DataLoader, use OpenMP anew.

    A child would inherit the calling thread's team without its threads, and wait for
    them for ever. One thread is enough for a worker.
    """
    try:
        openmp = ctypes.CDLL("libgomp.so.1")
        pause, set_threads = openmp.omp_pause_resource_all, openmp.omp_set_num_threads
    except (OSError, AttributeError):
        # No OpenMP, of which load_mxnet tells, or one older than GCC 9's.
        return
    soft = 1
    os.register_at_fork(
        before=lambda: pause(soft), after_in_child=lambda: set_threads(1)
    )


def load_mxnet() -> ModuleType:
    """Import MXNet, with ``prepare`` before it, and return it.

    Raises:
        MXNetUnavailable: MXNet cannot be loaded. No part of it stays in
            ``sys.modules``.
    """
    prepare()
    try:
        mxnet = importlib.import_module("mxnet")
        with _silence():
            # MXNet announces any engine but its default, when the engine starts.
            mxnet.nd.waitall()
        return mxnet
    except Exception as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "mxnet"]:
            del sys.modules[name]
        raise MXNetUnavailable(*explain(error)) from None


@contextmanager
def hidden_role() -> Iterator[None]:
    """Hide what MXNet's launcher wants this process to be.

    In any role but a worker's, ``import mxnet`` serves the workers and never returns,
    not even when they are dead.
    """
    role = os.environ.pop("DMLC_ROLE", None)
    try:
        yield
    finally:
        if role is not None:
            os.environ["DMLC_ROLE"] = role


def run_as_command() -> bool:
    """Tell whether this process is ``python -m d2l_mlp`` or the script ``d2l-mlp``.

    While Python looks for the module of ``-m``, and so imports its package,
    ``sys.argv[0]`` is ``"-m"``; which module that is, ``sys.orig_argv`` tells. A worker
    process has its parent's ``sys.argv``, but not its ``sys.orig_argv``.
    """
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program == "-m":
        return any(re.match(r"(-\w*m)?d2l_mlp\b", word) for word in sys.orig_argv[1:])
    return Path(program).name == "d2l-mlp" and program in sys.orig_argv


@contextmanager
def _silence() -> Iterator[None]:
    """Hold back what libraries write to the process's standard error."""
    # Interrupted, the process has a line to say.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def explain(error: Exception) -> tuple[str, str]:
    """Return why ``import mxnet`` raised ``error``, and what mends it."""
    machine = f"{platform.system()} {platform.machine()}"
    version = platform.python_version()
    numpy = sys.modules.get("numpy")
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    library = re.search(r"(\S+\.so[.\d]*): cannot open shared object", str(error))

    if machine != MACHINE:
        return f"found {machine}, expected {MACHINE}", "use such a machine, or Docker"
    if sys.version_info[:2] not in PYTHONS:
        return f"found Python {version}, expected {THESE_PYTHONS}", "make clean setup"
    if missing == "distutils":
        return (
            "distutils is missing, as Python 3.12 has none",
            f"{PIP} 'setuptools>=77,<80'",
        )
    if missing:
        return f"the package {missing} is not installed", REINSTALL
    if numpy and (_version(numpy) >= (2, 4) or int(NUMPY[0]) < _version(numpy)[0]):
        return (
            f"found numpy {numpy.__version__}, expected {NUMPY}",
            f"{PIP} numpy=={NUMPY}",
        )
    if library:
        name = library[1]
        package = LIBRARIES.get(name, f"the package that has {name}")
        return (
            f"the shared library {name} is missing",
            f"sudo apt-get install {package}",
        )
    return f"{type(error).__name__}: {error}", REINSTALL


def _version(numpy: ModuleType) -> tuple[int, int]:
    # What is left of a half-removed numpy has no version.
    version = getattr(numpy, "__version__", "0.0")
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
