"""What is installed is pinned, and what is packaged is whole."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import d2l_mlp

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LINES = (ROOT / "requirements.txt").read_text().splitlines()
PINS = [
    Requirement(line) for line in LINES if line and not line.lstrip().startswith("#")
]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def environment(python: str, extra: str = "") -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "extra": extra,
    }


def pins(python: str) -> dict[str, str]:
    """Return package -> pinned version, as pip on Linux sees it."""
    chosen: dict[str, str] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment(python)):
            name = canonicalize_name(pin.name)
            assert name not in chosen, f"{name} is pinned twice for Python {python}"
            chosen[name] = str(pin.specifier)
    return chosen


def test_every_requirement_is_pinned():
    for pin in PINS:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin
        assert pin.url is None, pin


def test_requirements_name_no_index_and_no_place():
    header = [line for line in LINES if line.startswith("#")]
    assert any("uv pip compile pyproject.toml" in line for line in header)
    for line in LINES:
        assert not re.search(r"://|@|(^|\s)[~/.]*/\w", line), line
        assert line.startswith("#") or not re.search(r"(^|\s)--?\w", line), line


@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_hold_all_that_pyproject_asks_for(python):
    pinned = pins(python)
    for text in requires("d2l_mlp"):
        asked = Requirement(text)
        if asked.marker and not any(
            asked.marker.evaluate(environment(python, extra))
            for extra in ("", "web", "test", "lint")
        ):
            continue
        name = canonicalize_name(asked.name)
        if name == "d2l-mlp":
            # An extra that holds another one.
            continue
        assert name in pinned, f"{name} is not pinned for Python {python}"
        assert asked.specifier.contains(pinned[name].removeprefix("==")), text


@pytest.mark.parametrize("python", PYTHONS)
def test_what_wants_a_desktop_stays_out(python):
    assert not {"opencv-python", "jupyter", "jupyterlab"} & pins(python).keys()


def test_version_is_that_of_the_package():
    assert version("d2l_mlp") == d2l_mlp.__version__


def test_wheel_carries_data_and_stubs(tmp_path):
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "d2l_mlp", source / "d2l_mlp", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
        + ["--no-build-isolation", "-w", tmp_path, source],
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    files = {str(path.relative_to(source)) for path in source.glob("d2l_mlp/**/*.*")}
    assert {name for name in files if "egg-info" not in name} <= carried
    assert {"d2l_mlp/__init__.pyi", "d2l_mlp/dataset/releases.json"} <= carried
