"""``exercise --checkpoint``: all of its processes killed, and gone on with."""

import json
import re
import shutil
import signal

from d2l_mlp.exercises.trials import Place
from d2l_mlp.runs.checkpoint import read
from d2l_mlp.runs.checkpoint_folder import Folder
from d2l_mlp.runs.run_folders import RunFolders

from killed_exercises import FOURTH, THIRD, WAITS, assert_same, interrupt, results, run


def test_no_run_is_kept_once_its_record_is(whole):
    assert_same(whole, whole)


def test_killed_at_random_moments_it_ends_with_the_same_records(
    tmp_path, whole, killed
):
    folder, stops = killed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    done = run(tmp_path, THIRD, "--resume")
    assert done.returncode == 0, done.stderr
    number = len(stops[-1])
    assert f"under way in {tmp_path / 'kept'}, and going on: {number}\n" in done.stdout
    assert_same(tmp_path, whole)
    # Gone on with, not trained again: the epochs that were kept are in the records.
    seconds = {
        RunFolders(tmp_path / "kept").of(json.loads(name)).name: each
        for name, each in results(tmp_path / "made" / "results.jsonl")[1].items()
    }
    assert any(len(each) == 2 for each in stops[-1].values())
    for stop in stops:
        for name, each in stop.items():
            assert seconds[name][: len(each)] == each


def test_of_a_checkpoint_that_was_cut_off_the_older_is_used(one_left, whole):
    folder, path = one_left
    newest, older = Folder(path).paths().values()
    newest.write_bytes(newest.read_bytes()[:-100])
    first = read(older).results[0].seconds
    done = run(folder, THIRD, "--resume")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        rf"warning: {newest}: found \d+ bytes, expected the \d+ that its first line "
        rf"tells of; going on from {older}\n",
        done.stderr,
    )
    assert_same(folder, whole)
    seconds = results(folder / "made" / "results.jsonl")[1].values()
    assert round(first, 6) in [each[0] for each in seconds]


def test_what_is_left_of_a_run_whose_record_is_there_is_removed(one_left, whole):
    folder, path = one_left
    shutil.copy(whole / "made" / "results.jsonl", folder / "made")
    # It is not looked at.
    for each in Folder(path).paths().values():
        each.write_bytes(b"damaged")
    done = run(folder, THIRD, "--resume")
    assert done.returncode == 0, done.stderr
    assert "9 of 9 runs are in" in done.stdout and "going on" not in done.stdout
    assert_same(folder, whole)


def test_stopped_by_ctrl_c_it_says_how_to_go_on(tmp_path, whole):
    (tmp_path / "made").mkdir()
    lines = (whole / "made" / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "made" / "results.jsonl").write_text("".join(lines[:-1]))
    code, errors, seconds = interrupt(tmp_path, THIRD, number=signal.SIGINT)
    assert code == 130
    assert errors == (
        f"stopped; what ended is kept in {tmp_path / 'made' / 'results.jsonl'}, and "
        f"what was under way in {tmp_path / 'kept'}: the same command with --resume "
        "goes on there\n"
    )
    assert len(seconds) == 1
    done = run(tmp_path, THIRD, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path, whole)


def ended(folder):
    (trial,) = Place("plain", folder / "made" / "search.journal").open().trials[-1:]
    facts = json.loads((folder / "made" / "search.json").read_text())
    for name in ("minutes", "span_minutes", "states"):
        facts.pop(name)
    for best in facts["best"]:
        # A setting that is tried again is another trial, of the same seed.
        best.pop("number")
    return (
        trial.user_attrs["settings"],
        trial.intermediate_values,
        trial.value,
        results(folder / "made" / "final.jsonl")[0],
        facts,
    )


def test_a_search_killed_at_a_trial_and_at_its_final_run_ends_the_same(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    done = run(whole, FOURTH)
    assert done.returncode == 0, done.stderr
    more = []
    for kind in ("trial", "trial", "final"):
        wait = WAITS.uniform(0, 1)
        code, errors, seconds = interrupt(folder, FOURTH, *more, kind=kind, wait=wait)
        assert code == -signal.SIGKILL, errors
        (name,) = seconds
        assert name.startswith(f"{kind}-")
        more = ["--resume"]
    done = run(folder, FOURTH, "--resume")
    assert done.returncode == 0, done.stderr
    assert ended(folder) == ended(whole)
    assert list((folder / "kept").iterdir()) == [folder / "kept" / ".runs.lock"]
