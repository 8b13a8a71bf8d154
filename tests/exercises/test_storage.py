"""A journal survives writers that die, and is told from other files."""

import multiprocessing
import os

from d2l_mlp.exercises.storage import open_storage
from d2l_mlp.runs.sweep import SweepError

import optuna
import pytest


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "search.journal"
    study = optuna.create_study(storage=open_storage(path), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return path


def test_a_line_cut_anywhere_is_survived(journal, tmp_path):
    """At each byte of the last line: readers skip it, the next writer removes it."""
    content = journal.read_bytes()
    lines = content.splitlines(keepends=True)
    whole = len(content) - len(lines[-1])
    for end in range(whole, len(content) + 1):
        torn = tmp_path / f"{end}.journal"
        torn.write_bytes(content[:end])
        study = optuna.load_study(study_name="s", storage=open_storage(torn))
        assert len(study.trials) == 3
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        again = optuna.load_study(study_name="s", storage=open_storage(torn))
        assert [t.number for t in again.trials] == [0, 1, 2, 3]
        kept = content[:end] if end == len(content) else content[:whole]
        assert torn.read_bytes().startswith(kept)
        assert again.trials[3].value is not None


def test_a_long_torn_line_is_removed_whole(journal):
    content = journal.read_bytes()
    journal.write_bytes(content + b"x" * 10_000)
    study = optuna.load_study(study_name="s", storage=open_storage(journal))
    study.set_user_attr("a", 1)
    assert b"xx" not in journal.read_bytes()
    assert journal.read_bytes().startswith(content)


def add(path, number):
    study = optuna.load_study(study_name="s", storage=open_storage(path))
    for i in range(10):
        study.set_user_attr(f"{number}-{i}", i)


def test_writers_take_turns(journal):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add, args=(journal, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    study = optuna.load_study(study_name="s", storage=open_storage(journal))
    assert len(study.user_attrs) == 30


@pytest.mark.parametrize(
    "content", [b"a diary\n", b"[1]\n{}\n", b'{"a": 1}\n', b"\n\n"]
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "search.journal"
    path.write_bytes(content)
    with pytest.raises(SweepError, match="search.journal: found a line that is no"):
        open_storage(path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_to_is_the_systems_error(tmp_path):
    with pytest.raises(OSError):
        open_storage(tmp_path / "none" / "search.journal")
    assert os.listdir(tmp_path) == []
