"""The kernels, engine and threads that are chosen for MXNet before it loads."""

import os
import subprocess
import sys
from pathlib import Path

from d2l_mlp import _compat

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
    cpuinfo = flags_file(tmp_path, _compat.HASWELL - {lacking})
    _compat.choose_kernels(cpuinfo)
    chosen = os.environ.pop("OPENBLAS_CORETYPE", None)
    assert chosen == (None if lacking else "Haswell")


def test_the_users_choice_of_kernels_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    _compat.choose_kernels(flags_file(tmp_path, _compat.HASWELL))
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
    _compat.choose_kernels(tmp_path / "none")
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
    env = os.environ | {"OMP_NUM_THREADS": "2", "MXNET_ENGINE_TYPE": "NaiveEngine"}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.stdout == "600\n", process.stderr


def test_engine_and_threads_are_chosen_unless_the_user_has(monkeypatch):
    threads = str(len(os.sched_getaffinity(0)))
    chosen = {
        "MXNET_ENGINE_TYPE": "NaiveEngine",
        "OMP_NUM_THREADS": threads,
        "GOMP_SPINCOUNT": "20000",
        "MXNET_SUBGRAPH_VERBOSE": "0",
    }
    for name in (*chosen, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    _compat.choose_engine()
    assert {name: os.environ[name] for name in chosen} == chosen
    for name in chosen:
        monkeypatch.setenv(name, "1")
    _compat.choose_engine()
    assert {os.environ[name] for name in chosen} == {"1"}
    # Which of the two counts, OpenMP knows.
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    _compat.choose_engine()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_openmp_hears_for_how_long_to_spin():
    """It reads that once, when it loads."""
    env = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    process = subprocess.run(
        [sys.executable, "-c", "import d2l_mlp"],
        env=env | {"OMP_DISPLAY_ENV": "verbose"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "GOMP_SPINCOUNT = '20000'" in process.stderr
