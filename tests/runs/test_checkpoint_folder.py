"""A folder keeps the last two checkpoints, and leaves strangers' files alone."""

from d2l_mlp.runs.checkpoint import CheckpointError
from d2l_mlp.runs.checkpoint_folder import Folder

import pytest
from test_checkpoint import make


def test_the_last_two_are_kept_and_strangers_files_are_left_alone(tmp_path):
    strangers = (
        "diary.txt",
        "epoch-1.npz",
        "epoch-x.checkpoint.7.partial",
        "a.7.partial",
    )
    for name in strangers:
        (tmp_path / name).touch()
    (tmp_path / "epoch-7.checkpoint.4711.partial").touch()
    with Folder(tmp_path) as folder:
        assert folder.paths() == {}
        for epoch in range(1, 6):
            folder.keep(make(epoch))
            assert list(folder.paths()) == [epoch, epoch - 1][: min(epoch, 2)]
            assert len(folder.newest().results) == epoch
    kept = {"epoch-4.checkpoint", "epoch-5.checkpoint", ".lock"}
    assert {path.name for path in tmp_path.iterdir()} == {*strangers, *kept}


def test_the_older_is_used_where_the_newest_is_damaged_and_it_is_said(tmp_path):
    with Folder(tmp_path) as folder:
        first, second = (folder.keep(make(epoch)) for epoch in (1, 2))
        second.write_bytes(second.read_bytes()[:-1])
        with pytest.warns(
            UserWarning, match=f"{second}: found .*; going on from {first}"
        ):
            assert len(folder.newest().results) == 1
        # It is written anew in its time.
        folder.keep(make(2))
        assert len(folder.newest().results) == 2
        second.write_bytes(first.read_bytes())
        with pytest.warns(UserWarning, match=f"{second}: found epoch 1 in it"):
            assert len(folder.newest().results) == 1


def test_where_none_is_whole_each_is_named(tmp_path):
    with Folder(tmp_path) as folder:
        with pytest.raises(CheckpointError, match=f"{tmp_path}: found no checkpoints"):
            folder.newest()
        for epoch in (1, 2):
            folder.keep(make(epoch)).write_text("a diary")
        both = r"(?s)no checkpoint that is whole.*epoch-2\.check.*epoch-1\.check"
        with pytest.raises(CheckpointError, match=both):
            folder.newest()


def test_a_folder_is_one_process_own(tmp_path):
    refused = pytest.raises(CheckpointError, match="another process keeps")
    with Folder(tmp_path), refused, Folder(tmp_path):
        pass
    with Folder(tmp_path):
        pass


def test_a_folder_that_is_gone_is_told_of(tmp_path):
    path = tmp_path / "run"
    with Folder(path) as folder:
        (path / ".lock").unlink()
        path.rmdir()
        with pytest.raises(CheckpointError, match="cannot be written .*none was kept"):
            folder.keep(make(1))
