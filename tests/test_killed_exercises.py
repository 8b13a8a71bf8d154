"""``exercise --checkpoint`` as users run it: all of its processes killed, and gone on.

What it keeps of a run tells apart one that was gone on with from one that was trained
again from its beginning: how long each epoch took, which no two trainings agree in.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from d2l_mlp.checkpoint import read
from d2l_mlp.checkpoint_folder import Folder
from d2l_mlp.exercises.trials import Place
from d2l_mlp.run_folders import RunFolders, locked, under_way
from d2l_mlp.sweep import key
from d2l_mlp.sweep import read as read_records

import pytest

THIRD = ["3", "--seeds", "1", "--num-epochs", "3"]
#: One trial, the chapter's setting, and one final run.
FOURTH = ["4", "--trials", "1", "--seeds", "1", "--jobs", "1"]
ENV = os.environ | {"COLUMNS": "200"}


def command(folder, options, *more):
    places = ["--output", folder / "made", "--checkpoint", folder / "kept"]
    arguments = ["exercise", *options, *places, *more]
    return [sys.executable, "-m", "d2l_mlp", *map(str, arguments)]


def run(folder, options, *more):
    arguments = command(folder, options, *more)
    return subprocess.run(
        arguments, capture_output=True, text=True, env=ENV, timeout=400
    )


def kept(folder):
    """Return the seconds of each epoch that is kept, by the name of its run's folder.

    As a run that goes on finds them, and as records round them.
    """
    if not (folder / "kept").exists():
        return {}
    newest = {
        name: Folder(path).newest() for name, path in under_way(folder / "kept").items()
    }
    return {
        name: [round(result.seconds, 6) for result in checkpoint.results]
        for name, checkpoint in newest.items()
    }


def epochs_kept(folder):
    """Return the name of each run's folder with each epoch that is there."""
    return {
        (path.parent.name, int(path.stem.partition("-")[2]))
        for path in (folder / "kept").glob("*/epoch-*.checkpoint")
    }


def interrupt(
    folder,
    options,
    *more,
    number=signal.SIGKILL,
    kind="",
    epochs=range(1, 99),
    wait=0.0,
):
    """Send a signal to all processes, ``wait`` seconds after the next kept epoch.

    Args:
        number: the signal's.
        kind: begins the name of its run's folder.
        epochs: numbers that it may have in its run.
        wait: seconds.

    Returns:
        Exit code, standard error, and what was kept.
    """
    before = epochs_kept(folder)
    process = subprocess.Popen(
        command(folder, options, *more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
        start_new_session=True,
    )
    try:
        while process.poll() is None:
            new = epochs_kept(folder) - before
            if any(n.startswith(kind) and epoch in epochs for n, epoch in new):
                break
            time.sleep(0.01)
        time.sleep(wait)
    finally:
        os.killpg(process.pid, number)
    # The workers hold it open.
    errors = process.stderr.read()
    return process.wait(60), errors, kept(folder)


def results(path):
    """Return what came of each job, without what no two runs agree in."""
    found = {key(one["job"]): one["result"] for one in read_records(path)}
    seconds = {name: result["curves"].pop("seconds") for name, result in found.items()}
    return found, seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of exercise 3, kept on its way, that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder, THIRD)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory, whole):
    """Return a folder of it killed three times, and the seconds kept at each.

    Two of its nine records are there from the start, which spares time.
    """
    folder = tmp_path_factory.mktemp("killed")
    (folder / "made").mkdir()
    records = (whole / "made" / "results.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "made" / "results.jsonl").write_bytes(b"".join(records[:2]))
    stops = []
    for i in range(3):
        last = i == 2
        # Anywhere in an epoch, or while it is written; the last time with two kept.
        code, errors, seconds = interrupt(
            folder,
            THIRD,
            *(["--resume"] if i else []),
            epochs=(2,) if last else (1, 2, 3),
            wait=0 if last else random.uniform(0, 1),
        )
        assert code == -signal.SIGKILL, errors
        stops.append(seconds)
    return folder, stops


def assert_same(folder, whole):
    path = Path("made") / "results.jsonl"
    assert results(folder / path)[0] == results(whole / path)[0]
    assert len(read_records(folder / path)) == 9
    assert list((folder / "kept").iterdir()) == [folder / "kept" / ".runs.lock"]


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


@pytest.fixture
def one_left(tmp_path, whole, killed):
    """Return a copy in which a single run is under way, the others' records there."""
    folder, stops = killed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    name = next(name for name, each in stops[-1].items() if len(each) == 2)
    for other, path in under_way(tmp_path / "kept").items():
        if other != name:
            shutil.rmtree(path)
    folders = RunFolders(tmp_path / "kept")
    path = tmp_path / "made" / "results.jsonl"
    with path.open("w") as file:
        for record in read_records(whole / "made" / "results.jsonl"):
            if folders.of(record["job"]).name != name:
                file.write(json.dumps(record) + "\n")
    return tmp_path, tmp_path / "kept" / name


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


@pytest.mark.parametrize("number", ["1", "4"])
def test_resume_wants_a_folder(number):
    arguments = [sys.executable, "-m", "d2l_mlp", "exercise", number, "--resume"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENV)
    assert done.returncode == 2 and "found no --checkpoint" in done.stderr


def test_two_commands_do_not_share_a_folder(tmp_path):
    (tmp_path / "kept").mkdir()
    with locked(tmp_path / "kept", resume=False):
        done = run(tmp_path, THIRD)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*: another process keeps .*folder\n", done.stderr)


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
        wait = random.uniform(0, 1)
        code, errors, seconds = interrupt(folder, FOURTH, *more, kind=kind, wait=wait)
        assert code == -signal.SIGKILL, errors
        (name,) = seconds
        assert name.startswith(f"{kind}-")
        more = ["--resume"]
    done = run(folder, FOURTH, "--resume")
    assert done.returncode == 0, done.stderr
    assert ended(folder) == ended(whole)
    assert list((folder / "kept").iterdir()) == [folder / "kept" / ".runs.lock"]
