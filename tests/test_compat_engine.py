"""The kernels, engine and threads that are chosen for MXNet before it loads."""

import os
import subprocess
import sys
from pathlib import Path

from d2l_mlp import _threads
from d2l_mlp._threads import ENGINES
from d2l_mlp._unavailable import MXNetUnavailable

import mxnet
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import nd

ROOT = Path(__file__).parent.parent


def flags_file(tmp_path, flags):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        f"processor : 0\nflags\t\t: fpu {' '.join(flags)}\nbogomips : 1\n"
    )
    return cpuinfo


@pytest.mark.parametrize("lacking", [None, "avx2", "fma"])
def test_newer_kernels_only_where_the_processor_has_all_of_it(
    tmp_path, monkeypatch, lacking
):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    cpuinfo = flags_file(tmp_path, _threads.HASWELL - {lacking})
    _threads.choose_kernels(cpuinfo)
    chosen = os.environ.pop("OPENBLAS_CORETYPE", None)
    assert chosen == (None if lacking else "Haswell")


def test_the_users_choice_of_kernels_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    _threads.choose_kernels(flags_file(tmp_path, _threads.HASWELL))
    assert os.environ["OPENBLAS_CORETYPE"] == "Zen"


def test_mxnets_openblas_has_the_kernels_that_are_chosen():
    """Of a name that it does not know, as Cooperlake, it makes the oldest ones."""
    library = Path(mxnet.__file__).with_name("libopenblas.so.0")
    script = "import ctypes, sys; name = ctypes.CDLL(sys.argv[1]).openblas_get_corename"
    script += "; name.restype = ctypes.c_char_p; print(name().decode())"
    # Named, not run: that holds on a processor that lacks them, too.
    found = subprocess.run(
        [sys.executable, "-c", script, library],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_CORETYPE": "Haswell"},
    )
    assert found.stdout == "Haswell\n", found.stderr


def test_no_cpuinfo_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    _threads.choose_kernels(tmp_path / "none")
    assert "OPENBLAS_CORETYPE" not in os.environ


@given(
    st.tuples(*[st.integers(1, 300)] * 3),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150)
def test_the_kernels_in_use_multiply_rightly(shape, transposed, seed):
    """Old OpenBLAS kernels are known to err on new processors; these must not."""
    n, k, m = shape
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(n, k)), rng.normal(size=(k, m))
    given_A = nd.array(A.T if transposed[0] else A)
    given_B = nd.array(B.T if transposed[1] else B)
    product = nd.dot(
        given_A, given_B, transpose_a=transposed[0], transpose_b=transposed[1]
    )
    np.testing.assert_allclose(product.asnumpy(), A @ B, atol=2e-6 * k + 2e-5)


def test_workers_forked_after_a_product_do_not_hang():
    code = """
import d2l_mlp, numpy as np
from mxnet import nd
from mxnet.gluon import data
A = nd.ones((512, 512))
nd.FullyConnected(A, A, no_bias=True, num_hidden=512).asnumpy()
images = nd.array(np.ones((600, 28, 28, 1)), dtype="uint8")
dataset = data.ArrayDataset(images, np.zeros(600)).transform_first(
    data.vision.transforms.ToTensor()
)
print(sum(len(y) for X, y in data.DataLoader(dataset, 64, num_workers=2)))
"""
    env = os.environ | {"OMP_NUM_THREADS": "2", "MXNET_ENGINE_TYPE": ENGINES[2]}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.stdout == "600\n", process.stderr


VARIABLES = (
    "OMP_NUM_THREADS",
    "D2L_MLP_NUM_THREADS",
    "MXNET_ENGINE_TYPE",
    "GOMP_SPINCOUNT",
    "OMP_WAIT_POLICY",
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("1", str(min(2, _threads.count_processors())), ENGINES[0], None)),
        ({"OMP_NUM_THREADS": "1"}, ("1", None, ENGINES[0], None)),
        ({"OMP_NUM_THREADS": "4,2"}, ("4", None, ENGINES[2], "20000")),
        # As a child of a process for which NaiveEngine was chosen has it.
        (
            {"OMP_NUM_THREADS": "2", "MXNET_ENGINE_TYPE": ENGINES[0]},
            ("2", None, ENGINES[2], "20000"),
        ),
        ({"OMP_NUM_THREADS": " 02 "}, ("2", None, ENGINES[2], "20000")),
        (
            {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
            ("2", None, ENGINES[2], None),
        ),
        ({"MXNET_ENGINE_TYPE": ENGINES[1], "D2L_MLP_NUM_THREADS": "1"},
         ("1", "1", ENGINES[1], None)),
    ],
)  # fmt: skip
def test_engine_and_threads_are_chosen_unless_the_user_has(
    monkeypatch, given, expected
):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    _threads.choose_engine()
    assert tuple(os.environ.get(name) for name in VARIABLES[:4]) == expected
    # A team of MXNet's own leaves nothing for a helper.
    team, threads = int(expected[0]), int(expected[1] or 1)
    assert _threads.num_threads() == (threads if team == 1 else 1)


@pytest.mark.parametrize("value", ["abc", "0", "-1", "99999", "1.5", "²", "2 4"])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MXNET_CPU_WORKER_NTHREADS"])
def test_a_number_of_threads_that_is_none_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(MXNetUnavailable) as refusal:
        _threads.choose_engine()
    assert refusal.value.cause.startswith(f"found {name}={value!r}, expected a whole")
    assert refusal.value.mend == f"unset {name}"


@pytest.mark.parametrize(
    ("variables", "cause"),
    [
        ({"MXNET_ENGINE_TYPE": "Naive"}, "found MXNET_ENGINE_TYPE='Naive', expected"),
        (
            {"MXNET_CPU_WORKER_NTHREADS": "2", "OMP_NUM_THREADS": "2"},
            "found MXNET_CPU_WORKER_NTHREADS=2 and OMP_NUM_THREADS=2",
        ),
    ],
)
def test_what_would_hang_or_end_the_process_is_refused(monkeypatch, variables, cause):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MXNetUnavailable, match=cause):
        _threads.choose_engine()


@pytest.mark.parametrize("value", ["abc", "0", "99999", "4,2", "", "1"])
def test_the_import_ends_in_a_line_or_works(value):
    """Today's MXNet alone ends in an abort of `abc` and a crash of `99999`."""
    env = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    process = subprocess.run(
        [sys.executable, "-c", "import d2l_mlp"],
        env=env | {"OMP_NUM_THREADS": value},
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    works = value in ("4,2", "", "1")
    assert process.returncode == (0 if works else 1)
    last = process.stderr.splitlines()[-1:]
    assert works or f"found OMP_NUM_THREADS={value!r}, expected a whole" in last[0]


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "250000 100000\n"}, 2),
        # The one above it holds too.
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, 1),
        # In a container the path is the host's.
        ("0::/docker/1\n", {"cpu.max": "50000 100000"}, 1),
        (
            "3:cpu,cpuacct:/x\n2:memory:/y\n",
            {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "3:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"},
            8,
        ),
        ("0::/a\n", {"a/cpu.max": "damaged"}, 8),
        ("", {}, 8),
    ],
)
def test_a_quota_counts_as_processors_do(tmp_path, monkeypatch, lines, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for name, content in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    own = tmp_path / "own"
    own.write_text(lines)
    assert _threads.count_processors(tmp_path / "fs", own) == expected
    assert _threads.count_processors(tmp_path / "fs", tmp_path / "none") == 8


def test_openmp_hears_for_how_long_to_spin():
    """It reads that once, when it loads."""
    env = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    process = subprocess.run(
        [sys.executable, "-c", "import d2l_mlp"],
        env=env | {"OMP_DISPLAY_ENV": "verbose", "OMP_NUM_THREADS": "2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "GOMP_SPINCOUNT = '20000'" in process.stderr
