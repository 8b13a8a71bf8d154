"""Runs ``exercise --checkpoint`` as users do, stops all of its processes, and compares.

What it keeps of a run tells apart one that was gone on with from one that was trained
again from its beginning: how long each epoch took, which no two trainings agree in.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from d2l_mlp.runs.checkpoint_folder import Folder
from d2l_mlp.runs.run_folders import under_way
from d2l_mlp.runs.sweep import key
from d2l_mlp.runs.sweep import read as read_records

THIRD = ["3", "--seeds", "1", "--num-epochs", "3"]
#: One trial, the chapter's setting, and one final run.
FOURTH = ["4", "--trials", "1", "--seeds", "1", "--jobs", "1"]
#: Seconds to wait before a kill, the same ones in each session.
WAITS = random.Random(0)
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


def assert_same(folder, whole):
    path = Path("made") / "results.jsonl"
    assert results(folder / path)[0] == results(whole / path)[0]
    assert len(read_records(folder / path)) == 9
    assert list((folder / "kept").iterdir()) == [folder / "kept" / ".runs.lock"]
