import json
import shutil
import signal

from d2l_mlp.exercises.trials import Place
from d2l_mlp.runs.run_folders import RunFolders
from d2l_mlp.runs.sweep import read as read_records

import pytest
from killed_exercises import THIRD, WAITS, interrupt, run


@pytest.fixture
def place(tmp_path):
    """Return where a small search goes, which has not begun."""
    return Place("small", tmp_path / "search.journal")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Return the folder of exercise 3, kept on its way, that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder, THIRD)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
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
            wait=0 if last else WAITS.uniform(0, 1),
        )
        assert code == -signal.SIGKILL, errors
        stops.append(seconds)
    return folder, stops


@pytest.fixture
def one_left(tmp_path, whole, killed):
    """Return a copy in which a single run is under way, the others' records there."""
    folder, stops = killed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    name = next(name for name, each in stops[-1].items() if len(each) == 2)
    for path in (tmp_path / "kept").glob("run-*"):
        # One that was killed in its first epoch too, which has nothing but its lock.
        if path.name != name:
            shutil.rmtree(path)
    folders = RunFolders(tmp_path / "kept")
    path = tmp_path / "made" / "results.jsonl"
    with path.open("w") as file:
        for record in read_records(whole / "made" / "results.jsonl"):
            if folders.of(record["job"]).name != name:
                file.write(json.dumps(record) + "\n")
    return tmp_path, tmp_path / "kept" / name
