"""Runs that are killed, each in a process of its own; a script of test_killed_runs.py.

python killed_runs.py FOLDER SETTINGS MOMENTS

A process is forked for each run, which saves loading MXNet each time: this one only
loads it. SETTINGS is JSON; MOMENTS a JSON list of shares of a whole run's processor
time or of numbers of file operations after which a run is killed. Prints one line of
JSON: how many epochs were kept when it was killed, whether the partial file was left,
and whether the run that was resumed ended as the one that was not killed.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.runs import resuming
from d2l_mlp.runs.checkpoint_folder import Folder
from d2l_mlp.runs.run import Run, Settings
from d2l_mlp.static_graph import compiled

# What a run loads when it needs it, loaded once for all.
import gluoncv.utils.random  # noqa: F401
import portalocker  # noqa: F401
import safetensors.numpy  # noqa: F401
from mxnet import nd

# Else most of a run's processor time would be numba's, and few be killed in training.
compiled.compile_now()


def train(found, settings, dropout, path, end):
    """Train with checkpoints, from those that are there; write a digest of its end."""
    loaders = (
        data.BatchLoader(
            found.train_images[:2000], found.train_labels[:2000], 64, True
        ),
        data.BatchLoader(found.test_images[:500], found.test_labels[:500], 64),
    )
    run = Run(Settings((16,), batch_size=64, num_epochs=10, **settings), loaders)
    if dropout:
        W1, b1, W2, b2 = run.params

        def net(X):
            H = models.relu(nd.dot(X.reshape((-1, 784)), W1) + b1)
            return nd.dot(nd.Dropout(H, p=dropout), W2) + b2

        run.net = net
    resume = path.exists() and bool(Folder(path).paths())
    digest = hashlib.sha256()
    for result in resuming.kept_epochs(run, path, resume):
        digest.update(str(result).encode() + result.batches.tobytes())
    for param in run.trained():
        digest.update(param.asnumpy().tobytes())
    end.write_text(digest.hexdigest())


def fork(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def processor_time(pid):
    """Return the seconds a process has computed, which other work does not move."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def die_after(count, path):
    """Kill this process before the next file operation in ``path`` after ``count``."""
    left = [count]

    def watch(event, arguments):
        if event in ("open", "os.rename", "os.remove") and str(path) in str(
            arguments[0]
        ):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def main():
    folder, settings, moments = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4])
    dropout = settings.pop("dropout", 0)
    found = data.load_fashion_mnist()

    def start(name, before=lambda path: None):
        path = folder / name

        def work():
            before(path)
            train(found, settings, dropout, path, folder / f"{name}.end")

        return fork(work)

    whole = start("whole")
    while not has_ended(whole):
        seconds = processor_time(whole)
        time.sleep(0.005)
    assert os.waitpid(whole, 0)[1] == 0
    expected = (folder / "whole.end").read_text()
    for i, moment in enumerate(moments):
        name = f"killed-{i}"
        if isinstance(moment, int):
            pid = start(name, lambda path, moment=moment: die_after(moment, path))
        else:
            pid = start(name)
            while processor_time(pid) < moment * seconds and not has_ended(pid):
                time.sleep(0.001)
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        path = folder / name
        kept = Folder(path).paths() if path.exists() else {}
        partial = bool(list(path.glob("*.partial")))
        (folder / f"{name}.end").unlink(missing_ok=True)
        again = os.waitpid(start(name), 0)[1]
        same = again == 0 and (folder / f"{name}.end").read_text() == expected
        line = {"killed": status == signal.SIGKILL, "kept": max(kept, default=0)}
        print(json.dumps(line | {"partial": partial, "same": same}), flush=True)


main()
