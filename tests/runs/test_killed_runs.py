"""Runs killed by SIGKILL and resumed: they end as if they had not been killed."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.endurance
SCRIPT = Path(__file__).with_name("killed_runs.py")


def kill(folder, settings, moments):
    """Run the script, whose processes compute with one thread each."""
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, json.dumps(settings), json.dumps(moments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(moments)
    return lines


@pytest.mark.parametrize("dropout", [0, 0.5])
@pytest.mark.parametrize("hybridize", [False, True])
def test_killed_at_random_moments(tmp_path, hybridize, dropout):
    """Ten moments of each kind, from before the first epoch to the end."""
    moments = [(i + random.random()) / 10 for i in range(10)]
    settings = {"seed": 5, "hybridize": hybridize, "dropout": dropout}
    lines = kill(tmp_path, settings, moments)
    assert all(line["same"] for line in lines), list(zip(moments, lines, strict=True))
    # No two runs compute for quite as long: the last may have ended before.
    assert sum(line["killed"] for line in lines) >= 8
    assert len({line["kept"] for line in lines}) >= 2


def test_killed_between_any_two_operations_on_its_files(tmp_path):
    """From the lock on: each epoch's file is opened, renamed, and an older removed."""
    lines = kill(tmp_path, {"hybridize": True}, list(range(20)))
    assert all(line["killed"] and line["same"] for line in lines), lines
    kept = [line["kept"] for line in lines]
    assert kept == sorted(kept) and {0, 1, 2, 3} <= set(kept)
    assert any(line["partial"] for line in lines), "killed while it wrote"
