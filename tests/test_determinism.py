"""What docs/determinism.md promises of two runs from the same seed."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from d2l_mlp.runs.params import load_arrays

import numpy as np
import pytest
from processes import numbers

KINDS = {
    "plain": [],
    "static graph": ["--fast"],
    "Gluon": ["--gluon"],
    "with all options": [
        "--fast",
        "--dropout",
        "0.2",
        "--wd",
        "1e-4",
        "--schedule",
        "cosine",
    ],
}


def start(folder, *options, threads=None, processors=None):
    """Start a run of one epoch; return it and the file of what it trains."""
    path = Path(tempfile.mkdtemp(dir=folder), "params.safetensors")
    chosen = ("OMP_NUM_THREADS", "D2L_MLP_NUM_THREADS", "MXNET_ENGINE_TYPE")
    environment = {k: v for k, v in os.environ.items() if k not in chosen}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    arguments = ["book", "--num-epochs", "1", *options, "--output", path.parent]
    process = subprocess.Popen(
        [sys.executable, "-m", "d2l_mlp", *map(str, arguments), "--save", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=processors and partial(os.sched_setaffinity, 0, processors),
    )
    return process, path


def end(process, path):
    """Return the lines of a run, and the trained parameters."""
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    # The folder is each run's own.
    lines = [line for line in stdout.splitlines() if str(path.parent) not in line]
    return lines, load_arrays(path)


def run(folder, *options, **environment):
    return end(*start(folder, *options, **environment))


@contextmanager
def other_work():
    """Keep every processor busy, and one more."""
    command = [sys.executable, "-c", "while True: sum(range(10**4))"]
    number = len(os.sched_getaffinity(0)) + 1
    busy = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def same_bits(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_the_same_seed_gives_the_same_bits(tmp_path, options):
    """Beside each other, and on one processor."""
    one = {min(os.sched_getaffinity(0))}
    begun = [
        start(tmp_path, *options, "--seed", "1"),
        start(tmp_path, *options),
        start(tmp_path, *options, processors=one),
    ]
    (_, others), (lines, params), (again, params_again) = (end(*one) for one in begun)
    assert lines == again
    assert same_bits(params, params_again)
    assert not same_bits(params, others)


@pytest.mark.endurance
@pytest.mark.parametrize("options", [[], ["--fast"]], ids=["plain", "static graph"])
def test_neither_other_work_nor_fewer_processors_change_a_bit(tmp_path, options):
    lines, params = run(tmp_path, *options)
    with other_work():
        found = [run(tmp_path, *options)]
    one = {min(os.sched_getaffinity(0))}
    found.append(run(tmp_path, *options, processors=one))
    for other_lines, other_params in found:
        assert other_lines == lines
        assert same_bits(other_params, params)


@pytest.mark.endurance
@pytest.mark.parametrize("options", [[], ["--fast"]], ids=["plain", "static graph"])
def test_one_thread_and_two_agree_at_a_small_learning_rate(tmp_path, options):
    (lines, one), (others, two) = (
        run(tmp_path, *options, "--lr", "0.1", threads=n) for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    found = [numbers("\n".join(text)) for text in (lines, others)]
    np.testing.assert_allclose(*found, atol=1.01e-3)
