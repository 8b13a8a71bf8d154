"""Several processes that fetch into one folder, and those that are killed."""

import json
import signal
import subprocess
import sys
import time

from d2l_mlp.dataset import download, releases
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.dataset.releases import FILES, DataError

import portalocker
import pytest
from folders import asked, contents

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES

# A process of its own that fetches into argv[1], with the test's releases and servers.
CHILD = """
import json, pathlib, sys
from d2l_mlp.dataset import fashion_mnist as data, releases
facts, urls = json.loads(sys.argv[2])
releases._FACTS.update(facts)
releases.URLS.update(urls)
data.DEBIAN_FOLDER = pathlib.Path(sys.argv[1], "none")
print("ready", flush=True)
print(data.load_fashion_mnist(sys.argv[1]).release)
"""


@pytest.fixture
def child(mirrors, root):
    started = []

    def start():
        setup = json.dumps([releases._FACTS, releases.URLS])
        command = [sys.executable, "-c", CHILD, str(root), setup]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_a_killed_download_leaves_no_file(mirrors, made, root, child):
    first, _ = mirrors
    first.faults[TEST_IMAGES] = iter(["stalled"])
    process = child()
    wait_until(lambda: TEST_IMAGES in asked(first))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (left,) = root.glob("partial-*")
    assert not list(root.glob("*ubyte*"))
    assert len(list(left.iterdir())) == 3

    assert releases.is_whole(data.find_release(root))
    assert contents(root) == made["2017-08-26"]


def test_two_processes_fetch_once(mirrors, made, root, child):
    first, second = mirrors
    first.faults[TRAIN_IMAGES] = iter(["slow"])
    both = [child(), child()]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    wait_until(lambda: first.requests)
    # Time for the other one to come as far as the lock.
    time.sleep(0.5)
    first.gate.set()
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out == "2017-08-26\n"
    assert asked(first) == list(FILES) and not second.requests
    assert contents(root) == made["2017-08-26"]


def test_a_lock_that_stays_held(mirrors, root, monkeypatch):
    monkeypatch.setattr(download, "LOCK_TIMEOUT", 0.3)
    root.mkdir()
    with (
        portalocker.Lock(root / ".lock"),
        pytest.raises(DataError, match=f"{root}: its lock is held by another process"),
    ):
        data.find_release(root)
    assert not mirrors[0].requests
