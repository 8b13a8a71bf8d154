"""The commands that README and docs show: ours run here, made small."""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

from d2l_mlp.classroom import server
from d2l_mlp.commands import cli

import pytest
from matplotlib import pyplot as plt
from PIL import Image
from shown import PAGES, ROOT, commands, inline, programs

PREFIX = "python -m d2l_mlp "

#: Options that make a command of ours small, by its beginning: each in the place of the
#: one that is shown, or behind it.
SMALLER = {
    "book": "--num-epochs 1",
    "compare": "--seeds 3 --jobs 2 --editions small.json",
    "doctor": "",
    "exercise 4": "--trials 1 --seeds 1 --jobs 1",
    "exercise": "--seeds 1 --num-epochs 1",
    "launch": "--num-epochs 1 --fast",
    "predict": "",
}

#: What is not run here, by a part of it, and what does the same: a test, or a script.
ELSEWHERE = {
    "git clone": ".ci/run",
    "apt-get install": "tests/test_setup.py::test_missing_library_is_installed_by_root",
    "-m venv": "scripts/setup.sh",
    "-m pip install": "scripts/setup.sh",
    "pip install .": "tests/test_packaging.py::test_wheel_carries_data_and_stubs",
    "pip install --no-deps gluonbook": "requirements.txt",
    "-m pytest": "Makefile",
    "sh scripts/with_postgres.sh": ".ci/run",
    "docker": "Dockerfile",
    "-m ipykernel install": "tests/test_notebooks.py",
    "jupyter execute": "tests/test_notebooks.py",
    "postgresql": "tests/exercises/test_postgres.py",
    "optuna-dashboard": "tests/exercises/test_search.py",
    "--hosts": "tests/distributed/test_workers.py::test_over_two_hosts",
    "--release 2017-08-26": "tests/dataset/test_find_release.py",
    "benchmarks": "benchmarks",
    "demo": "tests/commands/test_shown_commands.py::test_demo_serves_its_page",
    "pre-commit install": ".pre-commit-config.yaml",
    "git diff": ".ci/run",
    "scripts/fuzz.py": "tests/fuzz/test_readers.py",
    "scripts/fresh_machine.sh": "tests/test_fresh_machine.py",
    "apt-get download": "scripts/setup.sh",
}


def elsewhere(command):
    return next((ELSEWHERE[part] for part in ELSEWHERE if shows(part, command)), None)


def shows(part, command):
    return re.search(rf"(?<![\w-]){re.escape(part)}(?![\w-])", command) is not None


def is_ours(command):
    return PREFIX in command and not elsewhere(command)


SHOWN = {page: commands(page) for page in PAGES}
ALL = [command for page in PAGES for command in (*SHOWN[page], *inline(page))]


def test_no_command_is_without_its_run():
    assert len(ALL) > 50
    for command in ALL:
        assert command.startswith("make ") or is_ours(command) or elsewhere(command), (
            f"{command}: nothing runs it"
        )


@pytest.mark.parametrize("part", ELSEWHERE)
def test_what_runs_it_is_there(part):
    path, _, name = ELSEWHERE[part].partition("::")
    assert any(shows(part, command) for command in ALL), "it is shown nowhere any more"
    assert (ROOT / path).exists()
    if name:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize(
    "target", sorted({c.split()[1] for c in ALL if c.startswith("make ")})
)
def test_make_knows_the_target(target):
    done = subprocess.run(
        ["make", "-n", target], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, fashion_mnist):
    """Where a reader would be: with pictures of their own."""
    folder = tmp_path_factory.mktemp("reader")
    picture = Image.fromarray(255 - fashion_mnist.test_images[0, :, :, 0])
    for name in ("shoe.jpg", "photo.jpg"):
        picture.resize((280, 280)).save(folder / name)
    edition = {
        "title": "small", "source": "this test", "train_metric": "batch",
        "hidden_units": [8], "batch_size": 256, "lr": 0.5,
        "epochs": [[0.9, 0.68, 0.77], [0.6, 0.78, 0.8]],
    }  # fmt: skip
    editions = [edition | {"id": id} for id in ("gluon-chapter", "other")]
    (folder / "small.json").write_text(json.dumps({"editions": editions}))
    return folder


def smaller(command):
    """Return the arguments of one of our commands, with what makes it small."""
    text = command.partition(PREFIX)[2]
    more = next(more for start, more in SMALLER.items() if text.startswith(start))
    if "--ablations" in text:
        more += " --ablations 0"
    if text.startswith("book --checkpoint"):
        more = "--num-epochs 2"
    arguments = shlex.split(text)
    for option, value in re.findall(r"(--\S+)(?: (\w\S*))?", more):
        if option not in arguments:
            arguments.append(option)
            arguments += [value] if value else []
        elif value:
            arguments[arguments.index(option) + 1] = value
    return tuple(arguments)


def run(arguments, folder):
    """Run in this process what starts no others, and saves the start."""
    if arguments[0] in ("book", "predict", "doctor"):
        done = cli.app(list(arguments), standalone_mode=False)
        plt.close("all")
        assert done in (0, None), arguments
        return
    done = subprocess.run(
        [sys.executable, "-m", "d2l_mlp", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


#: Those that are alike once they are small are run once.
OURS = dict.fromkeys(
    smaller(command[command.index(PREFIX) :])
    for page in PAGES
    for command in (*SHOWN[page], *inline(page))
    if is_ours(command)
)


def run_what_comes_before(arguments, folder):
    """Make what a command reads or goes on from, whatever was tried before it."""
    values = dict(zip(arguments, arguments[1:], strict=False))
    if "--checkpoint" in arguments:
        kept = folder / values["--checkpoint"]
        shutil.rmtree(kept, ignore_errors=True)
        if "--resume" in arguments:
            run([word for word in arguments if word != "--resume"], folder)
            # As if stopped in its second epoch: there is something to go on with.
            (kept / "epoch-2.checkpoint").unlink(missing_ok=True)
    # One that an earlier command of the page saved is the better one to read.
    if "--params" in arguments and not (folder / values["--params"]).exists():
        run(["book", "--save", values["--params"], "--num-epochs", "1"], folder)


@pytest.mark.endurance
@pytest.mark.parametrize("arguments", OURS, ids=" ".join)
def test_a_shown_command_runs(arguments, folder, monkeypatch):
    monkeypatch.chdir(folder)
    run_what_comes_before(arguments, folder)
    run(arguments, folder)


@pytest.mark.endurance
@pytest.mark.parametrize(
    ("page", "program"),
    [(p.stem, text) for p in PAGES for text in programs(p)],
)
def test_a_shown_program_runs(page, program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, f"{page}.md", "exec"), {"__name__": page})
    while server._shown:
        server._shown.pop().terminate()


def test_demo_serves_its_page(tmp_path):
    shown = [c for c in ALL if PREFIX + "demo" in c]
    assert set(shown) == {PREFIX + "demo --host 0.0.0.0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "d2l_mlp", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        for line in process.stdout:
            if "http://" in line:
                break
        address = line[line.index("http://") :].split()[0]
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        assert process.wait(10) == 130
        assert time.monotonic() - start < 5
