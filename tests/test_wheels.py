"""`make wheels`, and `make setup WHEELS=folder`, which asks nothing of the network."""

from pathlib import Path

import pytest
from test_setup import Project

NUMPY = "numpy-1.23.5-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.fake("tr", '#!/bin/sh\nexec /usr/bin/tr "$@"\n')
    project.fake_python("python3.11", "3.11")
    # Its log tells of pip's settings too.
    script = (project.bin / "python3.11").read_text()
    settings = 'echo "config ${PIP_CONFIG_FILE-its own}, links ${PIP_FIND_LINKS-}"'
    changed = script.replace('echo "pip $*"', f'{settings} >>"$LOG"; echo "pip $*"')
    project.fake("python3.11", changed)
    return project


def wheels(project: Project, *names: str) -> Path:
    folder = project.folder / "some wheels"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_wheels_take_the_place_of_the_network(project):
    folder = wheels(project, NUMPY)
    command = ("make", "setup", f"WHEELS={folder}")
    process = project.run(*command, PIP_FIND_LINKS="https://index.invalid")
    assert process.returncode == 0, process.stderr
    settings, setuptools, again, all_pinned = project.log.read_text().splitlines()
    assert settings == again == "config /dev/null, links "
    for line in (setuptools, all_pinned):
        assert f"--no-index --find-links {folder} " in line
    assert project.stamp.exists()


def test_without_wheels_pips_settings_are_its_own(project):
    process = project.run("make", "setup", PIP_FIND_LINKS="https://index.invalid")
    assert process.returncode == 0, process.stderr
    log = project.log.read_text()
    assert "config its own, links https://index.invalid\n" in log
    assert "--no-index" not in log


@pytest.mark.parametrize("names", [[], [NUMPY.replace("cp311", "cp312")]])
def test_wheels_of_no_or_another_python_are_refused(project, names):
    folder = wheels(project, *names)
    process = project.setup(WHEELS=str(folder))
    assert process.returncode == 1
    line = process.stderr.splitlines()[-1]
    assert f"found no wheels for Python 3.11 in WHEELS={folder}" in line
    assert "make wheels" in line and "PYTHON=" in line
    assert project.log.read_text() == ""
    assert not project.stamp.exists()


def test_no_python_is_brought_over_the_network(project):
    folder = wheels(project, NUMPY)
    (project.bin / "python3.11").unlink()
    project.fake("uv", '#!/bin/sh\necho uv >>"$LOG"\n')
    process = project.setup(WHEELS=str(folder), APT_STATUS="100")
    assert process.returncode == 1
    assert "found no working Python 3.10 to 3.13, and WHEELS" in process.stderr
    assert "uv" not in project.log.read_text().splitlines()


def test_wheels_are_made_as_they_are_installed(project):
    process = project.run("make", "-n", "wheels")
    [command] = [line for line in process.stdout.splitlines() if "pip wheel" in line]
    # gluonbook is built, by the setuptools that requirements.txt has.
    for argument in ("--no-deps", "--no-build-isolation", "-r requirements.txt"):
        assert argument in command
    ignored = (Path(__file__).parent.parent / ".gitignore").read_text().splitlines()
    assert command.split()[-2:] == ["-w", "wheels"] and "wheels/" in ignored
