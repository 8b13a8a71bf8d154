"""The doctor finds what is broken, and names what mends it."""

import io
import os
import subprocess
import sys
from pathlib import Path

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
        [] if data.ok else [f"✗ Fashion-MNIST     {data.found}"]
    )
    assert sum(line.startswith("✓") for line in lines) == 8 + data.ok
    assert process.returncode == (0 if data.ok else 1)


def test_broken_mxnet_is_named_with_its_mend(tmp_path):
    message = "libgomp.so.1: cannot open shared object file: No such file or directory"
    fake_package(tmp_path, "mxnet", f"raise OSError({message!r})")
    process = run_doctor(tmp_path)
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    for name in ("mxnet", "gluoncv"):
        start = process.stdout.index(f"✗ {name}")
        finding = process.stdout[start:].splitlines()[:3]
        assert "the shared library libgomp.so.1 is missing" in finding[0]
        assert finding[2].strip() == "to mend:  sudo apt-get install libgomp1"
    assert "✓ numpy" in process.stdout


def test_the_other_numpy_is_a_finding(tmp_path, monkeypatch):
    found = "2.3.0" if sys.version_info < (3, 13) else "1.26.4"
    fake_package(tmp_path, "numpy", f"__version__ = {found!r}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.check_package("numpy")
    assert (check.ok, check.found, check.expected) == (False, found, doctor.NUMPY)
    assert check.mend == f"{sys.executable} -m pip install numpy=={doctor.NUMPY}"


def test_a_crash_is_a_finding(tmp_path, monkeypatch):
    fake_package(tmp_path, "matplotlib", "import os; os.kill(os.getpid(), 4)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.check_package("matplotlib")
    assert check.found == "its import crashes Python (SIGILL)"
    assert (check.ok, check.mend) == (False, doctor.REINSTALL)


def test_missing_library(monkeypatch):
    monkeypatch.setitem(doctor.LIBRARIES, "libnone.so.9", "libnone9")
    check = doctor.check_library("libnone.so.9")
    assert not check.ok
    assert "libnone.so.9" in check.found
    assert check.mend == "sudo apt-get install libnone9"


def test_other_machine_and_python(monkeypatch):
    monkeypatch.setattr(doctor.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(doctor.sys, "version_info", (3, 14, 0))
    machine, python = doctor.check_machine(), doctor.check_python()
    assert (machine.ok, machine.found) == (False, "Linux aarch64 glibc")
    assert (python.ok, python.expected) == (False, "3.10 to 3.13")


@pytest.fixture
def no_data(tmp_path, monkeypatch) -> list[Path]:
    folders = [tmp_path / "gluon", tmp_path / "debian"]
    monkeypatch.setattr(releases, "default_root", lambda: folders[0])
    monkeypatch.setattr(releases, "DEBIAN_FOLDER", folders[1])
    return folders


def test_missing_data_names_the_folders(no_data):
    check = doctor.check_data()
    assert not check.ok
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
    assert not check.ok
    assert str(damaged) in check.found


def test_data_without_numpy(no_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "d2l_mlp.dataset.releases", None)
    assert doctor.check_data().mend == "mend numpy first"


def test_report_prints_findings_literally():
    console = Console(file=io.StringIO(), width=40)
    doctor.report(
        [
            doctor.Check("fine", True, "1.0", "1.0"),
            doctor.Check("bad", False, "[red]x[/] " + "y" * 60, "z", "pip install z"),
        ],
        console,
    )
    assert console.file.getvalue().splitlines() == [
        "✓ fine              1.0",
        "✗ bad               [red]x[/] " + "y" * 60,
        "  expected: z",
        "  to mend:  pip install z",
    ]
