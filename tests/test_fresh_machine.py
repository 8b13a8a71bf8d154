"""scripts/fresh_machine.sh: what it says, what it refuses, and that it cleans up."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "fresh_machine.sh"
TOOLS = ("awk", "cat", "chmod", "date", "df", "dirname", "env", "grep", "mkdir")
TOOLS += ("mktemp", "rm", "sed", "sh", "sleep", "tail", "touch", "true")

ROOT_ID = '#!/bin/sh\n[ "$1" = -u ] && echo 0 || echo root\n'
OTHER_ID = '#!/bin/sh\n[ "$1" = -u ] && echo 1000 || echo ada\n'
GIT = "#!/bin/sh\ncase $* in *rev-parse*) echo abc1234 ;; esac\n"
#: Does without namespaces what is asked of it.
UNSHARE = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
APT = '#!/bin/sh\necho "http://mirror.invalid/debian bookworm"\n'
SPACE = "#!/bin/sh\necho fs 1 1 %s 1% /\n"


@pytest.fixture
def run(tmp_path: Path):
    """Run the script where there is nothing but ``TOOLS`` and what a test fakes."""
    tools, rooms = tmp_path / "bin", tmp_path / "tmp"
    tools.mkdir()
    rooms.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))

    def begin(*args: str, **fakes: str) -> subprocess.Popen:
        given = {"id": ROOT_ID, "git": GIT, "unshare": UNSHARE, "apt_get": APT}
        given["df"] = SPACE.replace("%s", "90000")
        for name, script in (given | fakes).items():
            tool = tools / name.replace("_", "-")
            tool.unlink(missing_ok=True)
            if script:
                tool.write_text(script)
                tool.chmod(0o755)
        env = {"PATH": str(tools), "HOME": str(tmp_path), "TMPDIR": str(rooms)}
        env["SUITE"] = "bookworm"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["sh", SCRIPT, *args], env=env, **pipes)

    def run(*args: str, **fakes: str) -> subprocess.CompletedProcess:
        process = begin(*args, **fakes)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    run.begin, run.rooms = begin, rooms
    return run


def refusal(process: subprocess.CompletedProcess) -> str:
    assert process.returncode == 1
    line = process.stderr.splitlines()[-1]
    assert line.startswith("fresh_machine: ")
    return line


def test_it_is_a_shell_script_of_posix():
    subprocess.run(["sh", "-n", SCRIPT], check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, "-S", "warning", SCRIPT], check=True)


def test_help_is_its_head(run):
    process = run("--help", id=OTHER_ID)
    assert process.returncode == 0
    assert "sudo sh scripts/fresh_machine.sh book" in process.stdout
    assert "root" in process.stdout and "chroot" in process.stdout
    assert "set -eu" not in process.stdout and "#" not in process.stdout


@pytest.mark.parametrize("argument", ["nothing", "--book", "help book", ".*", ""])
def test_an_argument_that_is_no_target_is_refused(run, argument):
    line = refusal(run("book", argument))
    assert f"found argument {argument}" in line and "make help" in line


def test_only_root(run):
    line = refusal(run(id=OTHER_ID))
    assert "found user ada, expected root" in line and "sudo" in line


@pytest.mark.parametrize("program", ["debootstrap", "git"])
def test_a_program_that_is_missing_is_named(run, program):
    line = refusal(run(**{"debootstrap": GIT, program: ""}))
    assert f"found no {program}," in line
    assert "apt-get install debootstrap git" in line


def test_a_root_without_namespaces_is_told(run):
    line = refusal(run(debootstrap=GIT, unshare="#!/bin/sh\nexit 1\n"))
    assert "namespaces" in line and "container" in line


def test_a_folder_that_is_no_clone_is_told(run):
    line = refusal(run(debootstrap=GIT, git="#!/bin/sh\nexit 128\n"))
    assert "found no commit" in line


def test_little_room_is_told_before_anything_is_made(run):
    line = refusal(run(debootstrap=GIT, df=SPACE.replace("%s", "399")))
    assert "found 399 MB free" in line and "TMPDIR" in line
    assert os.listdir(run.rooms) == []


def test_a_failed_debootstrap_is_told_and_leaves_nothing(run):
    script = '#!/bin/sh\ntouch "$4/half"\necho W: odd\necho E: no such suite\nexit 1\n'
    process = run("book", debootstrap=script)
    line = refusal(process)
    assert "debootstrap failed: E: no such suite" in line and "SUITE=" in line
    assert "making a minimal bookworm" in process.stderr
    assert os.listdir(run.rooms) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it_and_leaves_nothing(run, tmp_path, sent):
    unshare = shutil.which("unshare") or "unshare"
    if subprocess.run(
        [unshare, "--mount", "--pid", "--fork", "true"], capture_output=True
    ).returncode:
        pytest.skip("wants the right to make namespaces")
    # It ends only when it is killed, and tells as whose child.
    script = f"#!/bin/sh\ntouch $4/half {tmp_path}/begun\nsleep 300.{os.getpid()}\n"
    exec_unshare = f'#!/bin/sh\nexec {unshare} "$@"\n'
    process = run.begin("book", debootstrap=script, unshare=exec_unshare)
    wait_for((tmp_path / "begun").exists)
    process.send_signal(sent)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert os.listdir(run.rooms) == []
    wait_for(lambda: not running(f"300.{os.getpid()}"))


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def running(argument: str) -> bool:
    """Tell whether any process has this argument."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if argument.encode() in file.read_bytes().split(b"\0"):
                return True
    return False
