"""What MXNet 1.9.1 needs of its surroundings, done before it loads; nothing else.

MXNet's last release reads names that numpy has dropped since, its library wants two
shared libraries of the system, and the OpenBLAS inside it does not know the processors
that came after it. Here the names are given back. ``_threads`` chooses the kernels and
the engine, and ``_unavailable`` explains in one message why MXNet does not load.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ._threads import choose_engine, choose_kernels
from ._unavailable import MXNetUnavailable, explain, numpy_version

#: What numpy 2 has dropped of the names that MXNet reads -> what it calls them now.
RENAMED_BY_NUMPY_2 = {
    **{"Inf": "inf", "PINF": "inf", "NaN": "nan", "NAN": "nan"},
    **{"alltrue": "all", "sometrue": "any", "product": "prod", "round_": "round"},
}
#: The ones that numpy 1 has too only to say that they are gone.
FINANCIAL = ("mirr", "npv", "pmt", "ppmt", "pv", "rate")


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
    if (1, 24) <= numpy_version(numpy) < (2, 0):
        numpy.bool = bool  # type: ignore[attr-defined]
    if numpy_version(numpy) >= (2, 0):
        give_names_of_numpy_1(numpy)


def give_names_of_numpy_1(numpy: Any) -> None:
    """Give numpy 2.0 to 2.3 the names that MXNet reads; those it has stay."""
    # A half-removed numpy may have none, which load_mxnet explains.
    now = {old: vars(numpy).get(new) for old, new in RENAMED_BY_NUMPY_2.items()}
    zeros = {"PZERO": 0.0, "NZERO": -0.0, "NINF": float("-inf")}
    gone = {name: partial(_refuse, name) for name in FINANCIAL}
    given = now | zeros | gone | {"msort": lambda a: numpy.sort(a, axis=0)}
    for name, value in given.items():
        vars(numpy).setdefault(name, value)


def _refuse(name: str, *args: Any, **kwargs: Any) -> None:
    raise RuntimeError(f"numpy.{name} is gone; the package numpy-financial has it")


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
