"""Compiled code in processes of other kinds: threads, forks, without numba or room."""

import os
import subprocess
import sys

from d2l_mlp.static_graph import compiled

from numba.core import caching


def in_a_process(script, **environment):
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WAYS = """
import sys
sys.path[:0] = ["tests", "tests/static_graph"]
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.static_graph import compiled
import test_compiled
splits = data.load_fashion_mnist()
begun = []
submit = compiled.ThreadPoolExecutor.submit
compiled.ThreadPoolExecutor.submit = lambda self, function, *args: (
    begun.append(function.__name__), submit(self, function, *args)
)[1]
# Two pieces a batch, the last one of 104 too.
for kind in (data.BatchLoader, test_compiled.OneByOne):
    print(test_compiled.train(splits, kind, (300, 300), wd=0.01))
print("_take_part" in begun)
"""


def test_the_bits_are_the_same_with_any_number_of_threads():
    """Engines, helpers and Python's own loop do the same operations."""
    expected = None
    for threads, engine, helped in [
        (1, "NaiveEngine", False),
        (2, "NaiveEngine", True),
        (2, "ThreadedEnginePerDevice", True),
    ]:
        chunked, one_by_one, found = in_a_process(
            WAYS,
            OMP_NUM_THREADS="1",
            D2L_MLP_NUM_THREADS=str(threads),
            MXNET_ENGINE_TYPE=engine,
        ).splitlines()
        expected = expected or chunked
        assert chunked == one_by_one == expected
        assert found == str(helped)


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
from d2l_mlp.runs import run
settings = run.Settings((16,), num_epochs=2, hybridize=True)
for result in run.Run(settings).epochs(): print(result)
room = "d2l_mlp.static_graph."
assert room + "bound" in sys.modules and room + "compiled" not in sys.modules
"""


def test_without_numba_all_goes_on_in_python():
    with_it = "\n".join(WITHOUT_NUMBA.splitlines()[3:-1])
    lines = in_a_process(with_it)
    assert in_a_process(WITHOUT_NUMBA) == lines and lines.count("\n") == 2
    assert in_a_process(with_it, NUMBA_DISABLE_JIT="1") == lines


FORKED = """
import multiprocessing
from d2l_mlp.runs import run
settings = run.Settings((256,), num_epochs=1, hybridize=True)
def train():
    for result in run.Run(settings).epochs(): print(result, flush=True)
train()
process = multiprocessing.get_context("fork").Process(target=train)
process.start()
process.join()
assert process.exitcode == 0, process.exitcode
"""


def test_a_forked_process_trains_too():
    """It has neither the helper of its parent nor the threads that bound its graphs."""
    first, second = in_a_process(
        FORKED, OMP_NUM_THREADS="1", D2L_MLP_NUM_THREADS="2"
    ).splitlines()
    assert first == second and first.startswith("epoch 1,")


KEPT = """
from d2l_mlp.runs import run
from d2l_mlp.static_graph import compiled
compiled.compile_now() if {early} else None
settings = run.Settings((16,), num_epochs=1, hybridize=True)
for result in run.Run(settings).epochs(): print(result)
print(sum(compiled._work.stats.cache_misses.values()))
"""


def test_what_was_compiled_once_is_kept(tmp_path):
    """Before the first run, for it and all that follow."""
    for early, misses in ((True, 1), (False, 0)):
        script = KEPT.format(early=early)
        lines = in_a_process(script, NUMBA_CACHE_DIR=str(tmp_path)).splitlines()
        assert lines[-1] == str(misses), lines


NO_ROOM = """
from numba.core import caching
def save(self, key, data):
    print("no room")
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile.save = save
from d2l_mlp.runs import run
settings = run.Settings((16,), num_epochs=1, hybridize=True)
for result in run.Run(settings).epochs(): print(result)
"""


def test_code_that_cannot_be_kept_runs_all_the_same(tmp_path, monkeypatch):
    """Where the disk is full, and where no folder can be written to."""
    lines = in_a_process(NO_ROOM, NUMBA_CACHE_DIR=str(tmp_path)).splitlines()
    assert lines[0] == "no room" and lines[-1].startswith("epoch 1,")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled._kept(lambda x: x + 1)(1) == 2
