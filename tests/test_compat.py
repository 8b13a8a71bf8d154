"""MXNet loads, or says in one message why not."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from d2l_mlp import _compat
from d2l_mlp._unavailable import NUMPY, REINSTALL, explain

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
NO_LIBRARY = (
    "libquadmath.so.0: cannot open shared object file: No such file or directory"
)


def run_python(code: str, path: Path = ROOT) -> subprocess.CompletedProcess:
    """Run ``code`` in a new process that finds the packages of ``path`` first."""
    env = os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=path, capture_output=True, text=True
    )


@pytest.fixture
def broken_mxnet(tmp_path: Path) -> Path:
    """A folder with an mxnet that fails as the wheel does without libquadmath."""
    package = tmp_path / "mxnet"
    package.mkdir()
    (package / "__init__.py").write_text("from . import base\n")
    (package / "base.py").write_text(f"raise OSError({NO_LIBRARY!r})\n")
    return tmp_path


def test_import_names_the_missing_library_without_mxnet_frames(broken_mxnet):
    process = run_python("import d2l_mlp", broken_mxnet)
    assert process.returncode == 1
    *frames, message = process.stderr.strip().splitlines()
    assert message.startswith(
        "d2l_mlp._unavailable.MXNetUnavailable: MXNet cannot be loaded"
    )
    assert "libquadmath.so.0" in message
    assert "sudo apt-get install libquadmath0" in message
    assert message.endswith("run `python -m d2l_mlp doctor`")
    assert str(broken_mxnet) not in process.stderr
    assert not any("OSError" in line for line in frames)


def test_no_half_imported_mxnet_is_left(broken_mxnet):
    code = """
import sys
try:
    import d2l_mlp
except ImportError:
    print([name for name in sys.modules if name.startswith("mxnet")])
"""
    assert run_python(code, broken_mxnet).stdout == "[]\n"


def test_import_is_light():
    code = """
import sys, d2l_mlp
heavy = "matplotlib gluoncv IPython fastapi uvicorn optuna pandas typer".split()
print([name for name in heavy if name in sys.modules])
print("train_ch3" in dir(d2l_mlp), "d2l_mlp.chapter.train" in sys.modules)
"""
    assert run_python(code).stdout == "[]\nTrue False\n"


def test_namespace_serves_every_name_of_its_stub():
    import d2l_mlp as gb

    assert "load_data_fashion_mnist" in gb.__all__
    for name in gb.__all__:
        assert getattr(gb, name) is not None


def test_unknown_name_is_an_attribute_error():
    import d2l_mlp as gb

    with pytest.raises(AttributeError, match="train_ch99"):
        _ = gb.train_ch99


@pytest.mark.parametrize(
    ("error", "cause", "mend"),
    [
        (
            ModuleNotFoundError(name="mxnet"),
            "mxnet is not installed",
            REINSTALL,
        ),
        (
            ModuleNotFoundError(name="graphviz"),
            "graphviz is not",
            REINSTALL,
        ),
        (ModuleNotFoundError(name="distutils"), "distutils", "setuptools>=77,<80"),
        (OSError(NO_LIBRARY), "libquadmath.so.0", "install libquadmath0"),
        (OSError(NO_LIBRARY.replace("quadmath", "rt")), "librt.so.0", "librt.so.0"),
        (ValueError("odd"), "ValueError: odd", "make clean setup"),
    ],
)
def test_explain(error, cause, mend):
    found_cause, found_mend = explain(error)
    assert cause in found_cause
    assert mend in found_mend


def test_explain_numpy_2(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", SimpleNamespace(__version__="2.4.0rc1"))
    cause, mend = explain(AttributeError("module 'numpy' has no 'in1d'"))
    assert cause == f"found numpy 2.4.0rc1, expected {NUMPY}"
    assert mend == f"{sys.executable} -m pip install numpy=={NUMPY}"


def test_explain_names_the_machine_and_the_python_first(monkeypatch):
    error = ModuleNotFoundError(name="mxnet")
    monkeypatch.setattr(platform, "python_version", lambda: "3.14.1")
    monkeypatch.setattr(sys, "version_info", (3, 14, 1))
    assert explain(error)[0] == "found Python 3.14.1, expected 3.10 to 3.13"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "found Linux aarch64, expected Linux x86_64" in explain(error)[0]


@pytest.mark.parametrize(
    ("version", "given"),
    [("1.23.5", False), ("1.24.0", True), ("1.26.4", True)],
)
def test_prepare_gives_numpy_bool_where_it_is_lacking(monkeypatch, version, given):
    numpy = SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    _compat.prepare()
    _compat.prepare()
    assert vars(numpy) == {"__version__": version} | ({"bool": bool} if given else {})


def test_prepare_gives_numpy_2_the_names_of_numpy_1(monkeypatch):
    own = {name: object() for name in ("bool", "all", "any", "prod", "round", "sort")}
    numpy = SimpleNamespace(__version__="2.1.3", inf=np.inf, nan=np.nan, **own)
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    _compat.prepare()
    _compat.prepare()
    assert numpy.bool is own["bool"]
    assert (numpy.alltrue, numpy.sometrue) == (own["all"], own["any"])
    assert (numpy.product, numpy.round_) == (own["prod"], own["round"])
    assert numpy.PINF == numpy.Inf == np.inf == -numpy.NINF
    assert np.isnan([numpy.NAN, numpy.NaN]).all()
    assert str([numpy.PZERO, numpy.NZERO]) == "[0.0, -0.0]"
    # What NumPy has had to offer for money since 1.20.
    with pytest.raises(RuntimeError, match="numpy.pv .* numpy-financial"):
        numpy.pv(0.1, 2, 3)


def test_names_that_numpy_still_has_stay():
    numpy = SimpleNamespace(**vars(np) | {"round_": "its own"})
    _compat.give_names_of_numpy_1(numpy)
    assert numpy.round_ == "its own"
    assert numpy.msort(np.array([[2, 1], [1, 2]])).tolist() == [[1, 1], [2, 2]]


def test_prepare_without_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    _compat.prepare()


def test_masks_of_mxnet_numpy_work_after_the_import():
    import mxnet as mx

    a = mx.np.arange(4)
    assert a[a > 1].tolist() == [2, 3]
    assert a[mx.np.array([True, False, False, True], dtype=bool)].tolist() == [0, 3]


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("-m", ["-m", "d2l_mlp"], True),
        ("-m", ["-X", "utf8", "-Bm", "d2l_mlp"], True),
        ("-m", ["-m", "d2l_mlp.distributed.launcher"], True),
        # A module of somebody else, whose package imports this one.
        ("-m", ["-m", "lesson"], False),
        ("/somewhere/bin/d2l-mlp", ["/somewhere/bin/d2l-mlp"], True),
        # A worker process has its parent's argv.
        ("/somewhere/bin/d2l-mlp", ["-c", "", "--multiprocessing-fork"], False),
        ("-c", ["-c", "import d2l_mlp"], False),
        ("", [], False),
        ("/somewhere/bin/pytest", ["/somewhere/bin/pytest"], False),
        ("/somewhere/d2l_mlp/__main__.py", ["-m", "d2l_mlp"], False),
    ],
)
def test_run_as_command(monkeypatch, program, words, expected):
    monkeypatch.setattr(sys, "argv", [program, "doctor"])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *words, "doctor"])
    assert _compat.run_as_command() is expected


@pytest.mark.parametrize("package", ["lazy_loader", "typer", "rich"])
def test_a_command_without_its_packages_says_what_to_do(package, tmp_path):
    """As on a fresh clone, where somebody runs the doctor with the system's Python."""
    (tmp_path / f"{package}.py").write_text(
        f"raise ModuleNotFoundError('No module named {package}', name={package!r})\n"
    )
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    process = subprocess.run(
        [sys.executable, "-m", "d2l_mlp", "doctor"],
        env=env, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    said = process.stdout + process.stderr
    assert package in said and "make clean setup" in said


def test_loading_says_nothing():
    process = run_python("import d2l_mlp, mxnet; mxnet.nd.ones(3).asnumpy()")
    assert process.returncode == 0
    assert process.stdout == process.stderr == ""


def test_a_role_is_hidden_from_mxnet_and_given_back(monkeypatch):
    monkeypatch.setenv("DMLC_ROLE", "server")
    with pytest.raises(KeyError), _compat.hidden_role():
        assert "DMLC_ROLE" not in os.environ
        raise KeyError
    assert os.environ["DMLC_ROLE"] == "server"
    monkeypatch.delenv("DMLC_ROLE")
    with _compat.hidden_role():
        pass
    assert "DMLC_ROLE" not in os.environ
