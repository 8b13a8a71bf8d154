"""The doctor finds what is broken, and names what mends it."""

import io
import os
import platform
import subprocess
import sys
from pathlib import Path

from d2l_mlp._unavailable import NUMPY
from d2l_mlp.commands import doctor
from d2l_mlp.dataset import releases

import pytest
from rich.console import Console

ROOT = Path(__file__).parents[2]


def fake_package(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)


def run_doctor(path: Path = ROOT) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-m", "d2l_mlp", "doctor"],
        env=env,
        cwd=path,
        capture_output=True,
        text=True,
    )


def test_healthy_machine():
    data = doctor.check_data()
    process = run_doctor()
    lines = process.stdout.splitlines()
    assert [line for line in lines if line.startswith("✗")] == (
        [f"✗ Fashion-MNIST     {data.found}"] if data.mend else []
    )
    assert sum(line.startswith("✓") for line in lines) == 4 + (not data.mend)
    assert process.returncode == (1 if data.mend else 0)


def test_broken_mxnet_is_named_with_its_mend(tmp_path):
    message = "libgomp.so.1: cannot open shared object file: No such file or directory"
    fake_package(tmp_path, "mxnet", f"raise OSError({message!r})")
    process = run_doctor(tmp_path)
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    for name in ("mxnet", "gluoncv"):
        start = process.stdout.index(f"✗ {name}")
        finding = process.stdout[start:].splitlines()[:2]
        assert "the shared library libgomp.so.1 is missing" in finding[0]
        assert finding[1] == "  to mend:  sudo apt-get install libgomp1"
    assert "✓ matplotlib" in process.stdout


def test_the_other_numpy_is_a_finding(tmp_path, monkeypatch):
    fake_package(tmp_path, "numpy", "__version__ = '2.4.0'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.check_package("mxnet")
    assert check.found == f"found numpy 2.4.0, expected {NUMPY}"
    assert check.mend == f"{sys.executable} -m pip install numpy=={NUMPY}"


def test_a_crash_is_a_finding(tmp_path, monkeypatch):
    fake_package(tmp_path, "matplotlib", "import os; os.kill(os.getpid(), 4)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.check_package("matplotlib")
    assert check.found == "its import crashes Python (SIGILL)"
    assert check.mend == doctor.REINSTALL


@pytest.fixture
def no_data(tmp_path, monkeypatch) -> list[Path]:
    folders = [tmp_path / "gluon", tmp_path / "debian"]
    monkeypatch.setattr(releases, "default_root", lambda: folders[0])
    monkeypatch.setattr(releases, "DEBIAN_FOLDER", folders[1])
    return folders


def test_missing_data_names_the_folders(no_data):
    check = doctor.check_data()
    assert all(str(folder) in check.found for folder in no_data)
    assert check.mend.startswith("sudo apt-get install dataset-fashion-mnist")


def test_the_data_may_be_asked_for_from_home(no_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"none in {tmp_path / 'data'} or" in doctor.check_data(Path("~/data")).found


def test_damaged_data_is_named(no_data):
    no_data[0].mkdir()
    damaged = no_data[0] / "train-labels-idx1-ubyte"
    damaged.write_bytes(b"\0\0\x08\x01")
    check = doctor.check_data()
    assert str(damaged) in check.found and check.mend


def test_data_without_numpy(no_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "d2l_mlp.dataset", None)
    assert doctor.check_data().mend == "mend NumPy first"


def test_report_prints_findings_literally():
    console = Console(file=io.StringIO(), width=40, markup=False)
    doctor.report(
        [
            doctor.Check("fine", "1.0"),
            doctor.Check("bad", "[red]x[/] " + "y" * 60, "pip install z"),
        ],
        console,
    )
    machine, *findings = console.file.getvalue().splitlines()
    assert machine.startswith(f"Python {platform.python_version()} ({sys.executable})")
    assert findings == [
        "✓ fine              1.0",
        "✗ bad               [red]x[/] " + "y" * 60,
        "  to mend:  pip install z",
    ]
