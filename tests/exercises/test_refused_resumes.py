"""``exercise --resume`` goes on with its own runs, and with nothing else."""

import re
from dataclasses import replace

from d2l_mlp.runs.checkpoint import read
from d2l_mlp.runs.checkpoint_folder import Folder
from d2l_mlp.runs.run_folders import locked

import pytest
from killed_exercises import FOURTH, THIRD, run


def damage(path):
    for each in Folder(path).paths().values():
        each.write_bytes(each.read_bytes()[:1000])


def make_another(path):
    """Have it made by another version of NumPy."""
    for epoch, each in Folder(path).paths().items():
        checkpoint = read(each)
        changed = replace(checkpoint, made_of=checkpoint.made_of | {"numpy": "0.9"})
        Folder(path).keep(changed)
        assert read(each).made_of["numpy"] == "0.9", epoch


def leave(path):
    pass


RESUME = "--resume"
OTHER = [*THIRD[:-1], "2"]


@pytest.mark.parametrize(
    ("change", "options", "more", "code", "message"),
    [
        (leave, THIRD, [], 1, r"found runs under way \(run-\w{16}\), expected none"),
        (leave, OTHER, [RESUME], 1, r"of num_hiddens \[256\], lr .*, num_epochs 3,"),
        (leave, FOURTH, [RESUME], 1, "which is none of these: ask for the same as"),
        (damage, THIRD, [RESUME], 1, r"found no checkpoint that is whole.*\n.*-2"),
        (make_another, THIRD, [RESUME], 1, r"of numpy 0.9 \(asked for: 1"),
        (leave, THIRD, [RESUME, "--checkpoint", "{}/none"], 2, "found /.*/none, ex"),
        (leave, THIRD, [RESUME, "--checkpoint", "{}/made"], 1, "found no runs, exp"),
        (leave, THIRD, ["--checkpoint", "{run}"], 1, "epoch 2 of a single run, expe"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(
    one_left, change, options, more, code, message
):
    folder, path = one_left
    change(path)
    more = [each.format(folder, run=path) for each in more]
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    done = run(folder, options, *more)
    assert done.returncode == code, done.stderr
    assert re.search(message, done.stderr) and "Traceback" not in done.stderr
    assert "runs are in" not in done.stdout, "nothing was begun"
    for each, content in before.items():
        assert each.read_bytes() == content


def test_two_commands_do_not_share_a_folder(tmp_path):
    (tmp_path / "kept").mkdir()
    with locked(tmp_path / "kept", resume=False):
        done = run(tmp_path, THIRD)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*: another process keeps .*folder\n", done.stderr)
