"""Processors, OpenMP's threads and MXNet's engine: chosen before MXNet loads."""

from __future__ import annotations

import ctypes
import math
import os
import re
from functools import cache
from pathlib import Path

from ._unavailable import MXNetUnavailable

#: What OpenBLAS's Haswell kernels are compiled for, as /proc/cpuinfo names it.
HASWELL = {"avx2", "fma"}


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
