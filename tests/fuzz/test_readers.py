"""Files of any bytes: refused, or whole; and the watch over that can itself fail."""

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from readers import CORPUS, READERS, Hang, try_file

FUZZ = Path(__file__).parents[2] / "scripts" / "fuzz.py"
FILES = sorted(CORPUS.glob("*/*.bin"))


def reader_of(path):
    """Return the reader of a kept file: by its folder, and for idx by its name."""
    if path.parent.name != "idx":
        return READERS[path.parent.name]
    return READERS[f"idx-{path.name.partition('-')[0]}"]


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_what_was_kept_is_refused_or_whole(path, tmp_path):
    whole = try_file(reader_of(path), path.read_bytes(), tmp_path / "file")
    assert whole == ("whole" in path.stem)


def test_there_are_kept_files_of_each_reader():
    for reader in READERS.values():
        kept = [path for path in FILES if reader_of(path) is reader]
        assert len(kept) >= 8 and any("whole" in path.stem for path in kept)


def test_thousands_of_damaged_files_are_refused_or_whole():
    done = subprocess.run(
        [
            sys.executable,
            FUZZ,
            "--inputs",
            "6000",
            "--seed",
            str(time.time_ns() % 2**31),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r": (\d+) files, (\d+) of them whole, (\d+) ref", done.stdout)
    assert len(counts) == len(READERS)
    for files, whole, refused in (map(int, count) for count in counts):
        # Neither would say much of the reader.
        assert files >= 1500 and whole > 10 and refused > 500


def hungry(path):
    return np.empty(10**7)


def slow(path):
    while True:
        time.sleep(0.1)


def swallowing(path):
    while True:
        try:
            sum(range(10**5))
        except Exception:
            continue


def crashing(path):
    raise KeyError("W1")


@pytest.mark.parametrize(
    ("read", "error"),
    [(hungry, AssertionError), (slow, Hang), (swallowing, Hang), (crashing, KeyError)],
)
def test_what_must_not_be_is_noticed(read, error, tmp_path):
    reader = replace(READERS["params"], read=read)
    with pytest.raises(error):
        try_file(reader, b"", tmp_path / "file", seconds=0.1)
