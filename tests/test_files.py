"""Files that are whole or not there, and folders for one process alone."""

import os
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack

from d2l_mlp import _files

import pytest


def test_the_content_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        found = os.fstat(descriptor)
        kind = "folder" if stat.S_ISDIR(found.st_mode) else found.st_size
        done.append(("fsync", kind))
        fsync(descriptor)

    def note_replace(source, target):
        done.append(("replace", target.name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    _files.write_whole(tmp_path / "file", b"12", b"345")
    assert done == [("fsync", 5), ("replace", "file"), ("fsync", "folder")]
    assert (tmp_path / "file").read_bytes() == b"12345"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        _files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError) as caught:
        _files.write_whole(tmp_path / "file" / "x", b"new")
    assert caught.value.filename == str(tmp_path / "file" / "x")


def test_two_processes_may_write_the_same_file(tmp_path):
    """As two runs with the same folder for their pictures."""
    script = "import sys; from pathlib import Path; from d2l_mlp import _files\n"
    script += "for i in range(300): _files.write_whole(Path(sys.argv[1]), b'x' * 9999)"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "file"], stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors.decode()
    assert (tmp_path / "file").read_bytes() == b"x" * 9999
    assert os.listdir(tmp_path) == ["file"]


def test_a_lock_is_one_process_own_until_it_lets_go(tmp_path):
    refused = pytest.raises(ValueError, match="busy")
    lock, busy = tmp_path / "lock", ValueError("busy")
    with _files.alone(lock, busy), refused, _files.alone(lock, busy):
        pass
    with _files.alone(lock, busy):
        pass


@pytest.mark.parametrize("timeout", [30, None])
def test_a_lock_can_be_waited_for(timeout, tmp_path):
    lock, busy = tmp_path / "lock", ValueError("busy")
    with ExitStack() as held:
        held.enter_context(_files.alone(lock, busy))
        threading.Timer(0.1, held.close).start()
        with _files.alone(lock, busy, timeout):
            pass
