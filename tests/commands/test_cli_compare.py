"""The comparison as its users run it: in processes of its own, on the real data."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time

from d2l_mlp.runs.sweep import read

import pytest
from test_cli import run


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two editions of a small net, whose runs take a second."""
    path = tmp_path_factory.mktemp("editions") / "small.json"
    editions = [
        {
            "id": id,
            "title": "a <b>small</b> [/net]",
            "source": "this test",
            "train_metric": metric,
            "hidden_units": [8],
            "batch_size": 256,
            "lr": 0.5,
            "epochs": [[0.9, 0.68, 0.77], [0.6, 0.78, 0.8]],
        }
        for id, metric in (("first", "batch"), ("[/second]", "sample"))
    ]
    path.write_text(json.dumps({"editions": editions}))
    return path


@pytest.fixture(scope="module")
def compared(small, tmp_path_factory):
    output = tmp_path_factory.mktemp("compared")
    done = run(
        "compare", "--editions", small, "--edition", "all", "--seeds", 3, "--jobs", 2,
        "--output", output,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def test_it_runs_judges_and_writes(compared):
    output, text = compared
    assert text.startswith("seed 0 to 2, Fashion-MNIST 2017-08-31, mxnet 1.9.1, ")
    assert f"0 of 6 runs are in {output}/results.jsonl; 6 to go, 2 at a time" in text
    assert "6 of 6 runs" in text
    assert "first on the published split: undecided, 3 runs can reject nothing" in text
    assert "3 runs can reject nothing: p is at least 1/4" in text
    assert "gluonbook train_ch3" in text and "its four SHA-1 sums" in text
    records = read(output / "results.jsonl")
    assert len(records) == 6, "editions of one model share their runs"
    contents = json.loads((output / "comparison.json").read_text())
    assert len(contents["verdicts"]) == 4 and len(contents["twins"]) == 4
    assert contents["release"] == "2017-08-31"
    assert (
        (output / "net-784-8-10-lr-0.5-batch-256.png")
        .read_bytes()
        .startswith(b"\x89PNG")
    )


def test_the_report_needs_no_network_and_escapes_what_it_is_given(compared):
    page = (compared[0] / "report.html").read_text()
    assert "a &lt;b&gt;small&lt;/b&gt; [/net]" in page
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r"(src|href|url|@import)\W+(https?:)?//", page)
    assert "<script" not in page and "<link" not in page


def test_the_same_command_again_runs_nothing_and_says_the_same(compared, small):
    output, text = compared
    before = (output / "results.jsonl").read_bytes()
    done = run(
        "compare", "--editions", small, "--edition", "first", "--edition", "[/second]",
        "--seeds", 3, "--output", output,
    )  # fmt: skip
    assert "6 of 6 runs are in" in done.stdout and "; 0 to go" in done.stdout
    assert (output / "results.jsonl").read_bytes() == before
    assert done.stdout.splitlines()[-5:] == text.splitlines()[-5:]


def test_a_rejection_fails_only_when_asked(compared, small, tmp_path):
    """Of 20 seeds, whose runs are those of three."""
    made = [r for r in read(compared[0] / "results.jsonl") if is_official(r)]
    with (tmp_path / "results.jsonl").open("w") as file:
        for seed in range(20):
            record = copy.deepcopy(made[seed % 3])
            record["job"]["settings"]["seed"] = seed
            file.write(json.dumps(record) + "\n")
    far = tmp_path / "far.json"
    far.write_text(re.sub(r"0\.[678]\d*", "0.01", small.read_text()))
    arguments = ["compare", "--editions", far, "--seeds", 20, "--split", "official"]
    arguments += ["--output", tmp_path]
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "; 0 to go" in done.stdout
    assert "first on the published split: not reproduced (p = 0.048" in done.stdout
    assert run(*arguments, "--fail-if-rejected").returncode == 3


def is_official(record):
    return record["job"]["split"] == "official"


def test_ctrl_c_keeps_what_ended(small, tmp_path):
    command = [sys.executable, "-m", "d2l_mlp", "compare", "--editions", small]
    command += ["--seeds", "40", "--jobs", "2", "--output", tmp_path]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        process_group=0,
    ) if sys.version_info >= (3, 11) else subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=os.setpgrp,
    )  # fmt: skip
    path = tmp_path / "results.jsonl"
    deadline = time.monotonic() + 120
    while len(read(path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    # As a terminal does: to the workers too.
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert errors.startswith("stopped; what ended is kept in"), output
    assert errors.count("\n") == 1, errors
    kept = len(read(path))
    assert 3 <= kept < 80
    assert path.read_bytes().endswith(b"\n")


def test_the_books_release_is_asked_for_and_named_where_it_is_missing(tmp_path):
    env = os.environ | {"MXNET_GLUON_REPO": "http://127.0.0.1:9/"}
    done = run(
        "compare", "--release", "2017-08-26", "--root", tmp_path / "data",
        "--output", tmp_path, env=env,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Fashion-MNIST of 2017-08-26 was neither found nor downloaded" in done.stderr
    assert f"put its four .gz files into {tmp_path}/data/2017-08-26" in done.stderr
    assert "Traceback" not in done.stderr
