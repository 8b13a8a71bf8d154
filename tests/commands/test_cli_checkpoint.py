"""``book --checkpoint`` as users run it: killed, stopped, on a full disk, gone on."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

from d2l_mlp.runs.checkpoint_folder import Folder

import pytest

MARK = "  (from the checkpoint)"
OPTIONS = ["--num-hiddens", "8", "--fast", "--num-epochs", "3", "--seed", "2"]
# One thread, which other work on the machine slows down least.
ENV = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def command(folder, *more, options=OPTIONS):
    made = ["--output", folder / "made", "--save", folder / "params.safetensors"]
    arguments = ["book", *options, "--checkpoint", folder / "kept", *made, *more]
    return [sys.executable, "-m", "d2l_mlp", *map(str, arguments)]


def run(folder, *more, **kwargs):
    arguments = command(folder, *more, options=kwargs.pop("options", OPTIONS))
    return subprocess.run(
        arguments, capture_output=True, text=True, env=ENV, timeout=120, **kwargs
    )


def interrupt(folder, line, number, *more):
    """Send a signal once ``line`` is printed; return how it ended, and in how long."""
    process = subprocess.Popen(
        command(folder, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    for printed in process.stdout:
        if printed.startswith(line):
            break
    start = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors, time.monotonic() - start


def told(done, folder):
    """Return the lines of a run that do not tell where it came from."""
    assert done.returncode == 0, done.stderr
    text = done.stdout.replace(MARK, "").replace(str(folder), "FOLDER")
    return text.splitlines()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a run that nothing stopped, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, told(run(folder), folder)


def assert_same(done, folder, whole):
    its_folder, lines = whole
    assert told(done, folder) == lines
    for name in ("params.safetensors", "made/predictions.png", "made/curves.png"):
        assert (folder / name).read_bytes() == (its_folder / name).read_bytes(), name


@pytest.mark.parametrize("line", ["net", "epoch 1", "wrote"])
def test_killed_and_gone_on_it_prints_and_draws_the_same(tmp_path, whole, line):
    code, _, _ = interrupt(tmp_path, line, signal.SIGKILL)
    assert code == -signal.SIGKILL
    kept = Folder(tmp_path / "kept").paths() if (tmp_path / "kept").exists() else {}
    if line == "net":
        done = run(tmp_path)
    else:
        done = run(tmp_path, "--resume")
        assert done.stdout.count(MARK) == max(kept) > 0
    if max(kept, default=0) == 3:
        ended = f"that run had ended; {tmp_path / 'kept'} is left as it is\n"
        assert ended in done.stdout
        done.stdout = done.stdout.replace(ended, "")
    assert_same(done, tmp_path, whole)


def test_stopped_by_ctrl_c_it_says_how_to_go_on(tmp_path, whole):
    code, errors, seconds = interrupt(tmp_path, "epoch 1", signal.SIGINT)
    assert code == 130 and seconds < 2
    kept = max(Folder(tmp_path / "kept").paths())
    assert errors == (
        f"stopped; {tmp_path / 'kept'} keeps the run as of epoch {kept}, the same "
        "command with --resume goes on there\n"
    )
    assert_same(run(tmp_path, "--resume"), tmp_path, whole)


def test_a_full_disk_is_told_of_and_what_was_kept_is_gone_on_from(tmp_path, whole):
    # Half way between two files: of what is in one, the seconds vary in length.
    kept = [whole[0] / "kept" / f"epoch-{epoch}.checkpoint" for epoch in (2, 3)]
    most = sum(path.stat().st_size for path in kept) // 2

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    done = run(tmp_path, preexec_fn=limit)
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: .*/epoch-3.checkpoint: cannot be written \(File too large\), expected "
        r"room for 3 checkpoints: make room and go on with --resume: that of epoch 2 "
        r"is kept\n",
        done.stderr,
    )
    assert not list((tmp_path / "kept").glob("*.partial"))
    assert_same(run(tmp_path, "--resume"), tmp_path, whole)


def test_on_a_small_disk_it_ends_where_the_disk_does(small_disk, tmp_path, whole):
    (tmp_path / "kept").symlink_to(small_disk)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "cannot be written (No space left on device)" in done.stderr
    (epoch, path), *_ = Folder(small_disk).paths().items()
    assert f"go on with --resume: that of epoch {epoch} is kept" in done.stderr
    assert path.read_bytes().startswith(b"d2l_mlp checkpoint 3, ")
    (tmp_path / "kept").unlink()
    (tmp_path / "kept").mkdir()
    shutil.copy(path, tmp_path / "kept")
    assert_same(run(tmp_path, "--resume"), tmp_path, whole)


def test_a_damaged_checkpoint_is_warned_of_and_the_older_used(tmp_path, whole):
    interrupt(tmp_path, "epoch 2", signal.SIGKILL)
    newest, older = Folder(tmp_path / "kept").paths().values()
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 16
    newest.write_bytes(content)
    done = run(tmp_path, "--resume")
    assert done.stderr == (
        f"warning: {newest}: found other bytes than its checksum is of; going on from "
        f"{older}\n"
    )
    assert_same(done, tmp_path, whole)


@pytest.mark.parametrize(
    ("options", "more", "code", "message"),
    [
        (OPTIONS, [], 1, "found that of epoch 3, expected no checkpoints: go on"),
        ([*OPTIONS, "--lr", "0.1"], ["--resume"], 1, r"lr 0.5 \(asked for: 0.1\)"),
        (OPTIONS, ["--resume", "--checkpoint", "none"], 2, "found none, expected the"),
        (OPTIONS, ["--resume", "--checkpoint", "."], 1, "found no checkpoints, exp"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(whole, options, more, code, message):
    folder, _ = whole
    before = {p.name: p.read_bytes() for p in (folder / "kept").iterdir()}
    done = run(folder, *more, options=options, cwd=folder)
    assert done.returncode == code
    assert re.search(message, done.stderr) and "Traceback" not in done.stderr
    assert "epoch 1" not in done.stdout
    assert {p.name: p.read_bytes() for p in (folder / "kept").iterdir()} == before


def test_two_runs_do_not_share_a_folder(tmp_path):
    with Folder(tmp_path / "kept"):
        done = run(tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*: another process keeps .*folder\n", done.stderr)


def test_the_last_two_are_kept_and_nothing_else(whole):
    names = {path.name for path in (whole[0] / "kept").iterdir()}
    assert names == {".lock", "epoch-2.checkpoint", "epoch-3.checkpoint"}
