"""Several that download into one folder at once, and one that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from d2l_mlp.dataset import download, releases
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.dataset.releases import FILES, DataError

import portalocker
import pytest
from folders import asked, contents

# A process of its own that downloads into argv[1] the test's releases.
CHILD = """
import json, pathlib, sys
from d2l_mlp.dataset import download, releases
facts, urls = json.loads(sys.argv[2])
releases._FACTS.update(facts)
releases.URLS.update(urls)
download.fetch(pathlib.Path(sys.argv[1]))
"""


def test_after_a_killed_download_the_next_goes_on(mirrors, made, root):
    first, _ = mirrors
    first.faults[FILES[1]] = iter(["stalled"])
    setup = json.dumps([releases._FACTS, releases.URLS])
    with subprocess.Popen([sys.executable, "-c", CHILD, root, setup]) as process:
        try:
            while asked(first) != list(FILES[:2]):
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not list(root.glob("*ubyte*"))
    first.requests.clear()
    assert releases.is_whole(data.find_release(root))
    assert contents(root) == made["2017-08-26"]
    assert asked(first) == list(FILES[1:])


def opened(path):
    """Count how often this process has ``path`` open."""
    links = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(link) == str(path) for link in links)


def test_of_two_at_once_one_downloads(mirrors, made, root):
    """A lock parts threads as it parts processes: each opens the file by itself."""
    first, second = mirrors
    first.faults[FILES[0]] = iter(["slow"])
    with ThreadPoolExecutor() as pool:
        one = pool.submit(download.fetch, root)
        assert first.asked.wait(60)
        other = pool.submit(download.fetch, root)
        while opened(root / ".lock") < 2:
            assert not other.done()
            time.sleep(0.01)
        first.gate.set()
        assert releases.is_whole(one.result(60)) and releases.is_whole(other.result(60))
    assert asked(first) == list(FILES) and not second.requests
    assert contents(root) == made["2017-08-26"]


def test_a_lock_that_stays_held(mirrors, root, monkeypatch):
    monkeypatch.setattr(download, "LOCK_TIMEOUT", 0.1)
    root.mkdir()
    with (
        portalocker.Lock(root / ".lock"),
        pytest.raises(DataError, match=f"{root}: another process has held its lock"),
    ):
        data.find_release(root)
    assert not mirrors[0].requests
