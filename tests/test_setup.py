"""scripts/setup.sh and the Makefile, with fakes for Python, pip, apt and uname."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Acts as a Python of {version} as far as setup.sh can tell, and as its own venv.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *ensurepip*) exit {no_ensurepip} ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; : >"$3/pyvenv.cfg" ;;
    *"pip install"*) echo "pip $*" >>"$LOG"; exit "${{PIP_STATUS:-0}}" ;;
    *ctypes.CDLL*) [ -z "${{LACKING:-}}" ] || [ "$LACKING" != "$3" ] ;;
    *load_mxnet*) ;;
    *) echo {version} ;;
esac
"""
SHIM_WITHOUT_PYTHON = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
FAKE_APT = '#!/bin/sh\necho "apt-get $*" >>"$LOG"\nexit "${APT_STATUS:-0}"\n'


TOOLS = (
    *("cp", "dirname", "env", "find", "getconf", "ls", "make", "mkdir", "mktemp"),
    *("rm", "sed", "sh", "tail", "touch", "uname"),
)


class Project:
    """A copy of the files that `make setup` reads, and a PATH without any Python."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.log = folder / "p", folder / "bin", folder / "log"
        self.front = folder / "front"
        self.front.mkdir()
        (self.folder / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        self.log.touch()
        for name in ("Makefile", "requirements.txt", "scripts/setup.sh"):
            shutil.copy(ROOT / name, self.folder / name)
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name))
        self.fake("apt-get", FAKE_APT)
        self.fake("id", "#!/bin/sh\necho 0\n")

    def fake(self, name: str, script: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def fake_python(self, name: str, version: str, no_ensurepip: int = 0) -> None:
        script = FAKE_PYTHON.format(version=version, no_ensurepip=no_ensurepip)
        self.fake(name, script)

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess:
        clean = {"HOME": str(self.folder), "LOG": str(self.log)}
        clean["PATH"] = f"{self.front}{os.pathsep}{self.bin}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env=clean | env,
            capture_output=True,
            text=True,
        )

    def setup(self, *args: str, **env: str) -> subprocess.CompletedProcess:
        return self.run("sh", "scripts/setup.sh", *args, **env)

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv" / ".installed"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def which_python(project: Project, **env: str) -> str:
    return Path(project.setup("--which-python", **env).stdout.strip()).name


def test_newest_python_that_works(project):
    project.fake_python("python3.13", "3.13")
    assert which_python(project) == "python3.13"
    project.fake_python("python3.10", "3.10")
    assert which_python(project) == "python3.10"
    project.fake_python("python3.11", "3.11")
    assert which_python(project) == "python3.11"
    project.fake_python("python3.12", "3.12")
    assert which_python(project) == "python3.12"


def test_shims_without_a_python_are_passed_over(project):
    project.fake_python("python3.11", "3.11")
    for name in ("python3.12", "python3.11"):
        (project.front / name).write_text(SHIM_WITHOUT_PYTHON)
        (project.front / name).chmod(0o755)
    found = project.setup("--which-python").stdout.strip()
    assert found == str(project.bin / "python3.11")


def test_a_python_that_makes_environments_goes_first(project):
    project.fake_python("python3.12", "3.12", no_ensurepip=1)
    project.fake_python("python3.10", "3.10")
    assert which_python(project) == "python3.10"


def test_python_forces_the_choice(project):
    project.fake_python("python3.12", "3.12")
    project.fake_python("mine", "3.10")
    assert which_python(project, PYTHON="mine") == "mine"
    process = project.setup(PYTHON="python3.11")
    assert process.returncode == 1
    assert (
        "PYTHON=python3.11 is no working 64-bit Python 3.10 to 3.13" in process.stderr
    )
    assert not project.stamp.exists()


@pytest.mark.parametrize(
    ("tool", "script", "found"),
    [
        (
            "uname",
            "#!/bin/sh\n[ $1 = -s ] && echo Darwin || echo arm64\n",
            "Darwin arm64",
        ),
        ("uname", "#!/bin/sh\n[ $1 = -s ] && echo Linux || echo aarch64\n", "aarch64"),
        ("getconf", "#!/bin/sh\nexit 1\n", "Linux x86_64 without glibc"),
    ],
)
def test_other_machines_are_refused_in_one_line(project, tool, script, found):
    project.fake(tool, script)
    process = project.setup()
    assert process.returncode == 1
    [line] = process.stderr.splitlines()
    assert found in line
    assert "x86-64 Linux with glibc" in line


def test_setup_installs_once(project):
    project.fake_python("python3.11", "3.11")
    assert project.run("make", "setup").returncode == 0
    setuptools, all_pinned = project.log.read_text().splitlines()
    assert "setuptools==" in setuptools
    assert "--no-deps" in all_pinned and "-r requirements.txt -e ." in all_pinned
    assert project.run("make", "-q", "setup").returncode == 0
    assert "python -m d2l_mlp book" in project.run("make", "-n", "book").stdout
    assert "setup.sh" not in project.run("make", "-n", "book").stdout

    newer = project.stamp.stat().st_mtime + 10
    os.utime(project.folder / "requirements.txt", (newer, newer))
    assert project.run("make", "-q", "setup").returncode == 1


def test_a_run_cut_short_is_mended_by_the_next(project):
    project.fake_python("python3.11", "3.11")
    process = project.setup(PIP_STATUS="1")
    assert process.returncode == 1
    assert "pip failed" in process.stderr
    assert not project.stamp.exists()
    half = project.folder / ".venv" / "half-installed"
    half.touch()
    assert project.setup().returncode == 0
    assert project.stamp.exists()
    assert not half.exists()


def test_an_environment_that_is_whole_is_kept(project):
    project.fake_python("python3.11", "3.11")
    project.fake_python("python3.10", "3.10")
    assert project.setup().returncode == 0
    mine = project.folder / ".venv" / "mine"
    mine.touch()
    assert project.setup().returncode == 0
    assert mine.exists()
    assert project.setup(PYTHON="python3.10").returncode == 0
    assert not mine.exists()


def test_a_folder_that_is_no_environment_is_never_emptied(project):
    project.fake_python("python3.11", "3.11")
    thesis = project.folder / "mine" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.touch()
    process = project.setup(VENV="mine")
    assert process.returncode == 1
    assert "mine exists and is no virtual environment" in process.stderr
    assert project.run("make", "clean", "VENV=mine").returncode == 0
    assert thesis.exists()


def test_missing_library_is_installed_by_root(project):
    project.fake_python("python3.11", "3.11")
    process = project.setup(LACKING="libquadmath.so.0")
    assert process.returncode == 0
    log = project.log.read_text()
    assert "install --no-install-recommends libquadmath0\n" in log
    assert "libgomp1" not in log


def test_missing_library_without_apt_says_the_command(project):
    project.fake_python("python3.11", "3.11")
    process = project.setup(LACKING="libgomp.so.1", APT_STATUS="100")
    assert process.returncode == 1
    assert "sudo apt-get update && sudo apt-get install libgomp1;" in process.stderr
    assert "apt-get -qy update" in project.log.read_text()
    assert not project.stamp.exists()


def test_no_apt_for_a_user_without_root(project):
    project.fake_python("python3.12", "3.12", no_ensurepip=1)
    project.fake("id", "#!/bin/sh\necho 1000\n")
    project.fake("sudo", "#!/bin/sh\nexit 1\n")
    process = project.setup()
    assert process.returncode == 1
    assert "sudo apt-get install python3.12-venv; then make again" in process.stderr
    assert project.log.read_text() == ""


def test_no_python_at_all_takes_that_of_apt(project):
    project.fake_python("apts", "3.11")
    bring = f"cp {project.bin}/apts {project.bin}/python3\nexit"
    project.fake("apt-get", FAKE_APT.replace("exit", bring))
    assert project.setup().returncode == 0
    assert "recommends python3-venv" in project.log.read_text().splitlines()[0]


def test_only_a_newer_python_gets_one_with_uv(project):
    newer = """case "$*" in *"(3, 10)"*) exit 1 ;; esac\n"""
    project.fake_python("python3", "3.14")
    script = (project.bin / "python3").read_text()
    project.fake("python3", script.replace("\n", "\n" + newer, 1))
    project.fake_python("uvs", "3.11")
    answer = f'#!/bin/sh\n[ "$2" = install ] || echo {project.bin}/uvs\n'
    project.fake("uv", answer)
    process = project.setup()
    assert process.returncode == 0
    assert "getting 3.11 with uv" in process.stderr
    assert f"Python 3.11 ({project.bin}/uvs)" in process.stderr

    project.fake("uv", "#!/bin/sh\nexit 2\n")
    process = project.setup(VENV="other")
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("setup: uv cannot bring Python")

    (project.bin / "uv").unlink()
    process = project.setup(VENV="other", PIP_STATUS="1")
    assert process.returncode == 1
    assert "pip cannot install uv==" in process.stderr


def test_makefile_lists_its_targets(project):
    listed = project.run("make").stdout
    for target in ("setup", "book", "test", "lint", "clean", "help"):
        assert f"make {target}" in listed
