"""Pythons that MXNet does not work with are refused in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REFUSAL = "expected 3.10 to 3.13. To mend it: make clean setup"
#: Has a Python take itself for another one, without the packages of this one.
PRETEND = """
import sys
sys.version_info = ({version}, 0, "final", 0)
sys.modules["typer"] = sys.modules["mxnet"] = None
sys.argv = {argv}
{code}
"""


def others() -> list[str]:
    """Return the Pythons of other versions that pyenv or the PATH have."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders += pyenv.glob("versions/*/bin")
    found = {}
    for name in ("3.8", "3.9", "3.14", "3.15"):
        for folder in folders:
            python = folder / f"python{name}"
            answer = "import sys; print(*sys.version_info[:2], sep='.')"
            if python.exists() and said([python, "-c", answer])[1].strip() == name:
                found.setdefault(name, str(python))
    return list(found.values())


def said(command: list, cwd: Path = ROOT) -> tuple[int, str]:
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    return process.returncode, process.stdout + process.stderr


@pytest.mark.parametrize("use", [["-c", "import d2l_mlp"], ["-m", "d2l_mlp", "doctor"]])
def test_real_ones_are_refused(use):
    pythons = others()
    if not pythons:
        pytest.skip("found no Python 3.8, 3.9, 3.14 or 3.15")
    for python in pythons:
        status, text = said([python, *use])
        assert status == 1
        assert f"found Python {Path(python).name.removeprefix('python')}." in text
        assert REFUSAL in text.splitlines()[-1]
        assert use[0] == "-c" or len(text.splitlines()) == 1


@pytest.mark.parametrize("version", ["3, 8", "3, 14"])
@pytest.mark.parametrize(
    "code", ["import d2l_mlp", "import runpy; runpy.run_module('d2l_mlp', alter_sys=1)"]
)
def test_pretended_ones_are_refused(version, code):
    argv = ["-c"] if code == "import d2l_mlp" else ["-m", "doctor"]
    status, text = said(
        [sys.executable, "-c", PRETEND.format(version=version, argv=argv, code=code)]
    )
    assert status == 1
    assert REFUSAL in text.splitlines()[-1], text
    assert "typer" not in text.splitlines()[-1]
