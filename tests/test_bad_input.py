"""One table of what cannot be taken: of every public function and every command.

The rows stand in ``bad_arguments`` and ``bad_commands``. Each ends in an error that
names the argument, what was found and what is expected.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import d2l_mlp as gb
from d2l_mlp.book import editions
from d2l_mlp.chapter import model as models
from d2l_mlp.chapter import results
from d2l_mlp.commands import cli
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.dataset import photo, splits
from d2l_mlp.distributed import launcher
from d2l_mlp.distributed import workers as distributed
from d2l_mlp.runs import checkpoint, checkpoint_folder, resuming, sweep
from d2l_mlp.runs import params as stored

import bad_arguments
import bad_commands
import mxnet
import numpy as np
import pytest
import typer
from matplotlib import pyplot as plt
from mxnet import gluon, nd

MODULES = {
    "checkpoint": checkpoint,
    "checkpoint_folder": checkpoint_folder,
    "data": data,
    "distributed": distributed,
    "editions": editions,
    "launcher": launcher,
    "models": models,
    "photo": photo,
    "results": results,
    "resuming": resuming,
    "splits": splits,
    "stored": stored,
    "sweep": sweep,
}
loss = gluon.loss.SoftmaxCrossEntropyLoss()


@pytest.fixture
def paths(tmp_path, request):
    """What a path may lead to, real ones: nobody is kept out by rights who is root."""
    made = {name: tmp_path / name for name in ("missing", "folder", "there", "out")}
    made["folder"].mkdir()
    made["there"].write_text("a diary\n")
    made["loop"] = tmp_path / "loop"
    made["loop"].symlink_to("loop")
    made["binary"] = tmp_path / "binary"
    made["binary"].write_bytes(b"\xff\xfe\0")
    made["nowhere"] = Path("/proc/none/x")
    for name, fixture in (("full", "small_disk"), ("fixed", "fixed_disk")):
        if any(name in str(value) for value in request.node.callspec.params.values()):
            made[name] = request.getfixturevalue(fixture) / name
    return made


@pytest.fixture
def names(paths):
    """What the rows' calls may name."""
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), "u1")
    labels = np.arange(64, dtype="i4") % 10
    params = gb.init_params(8)
    net = gb.make_net(params)

    def loader(images, labels, **options):
        return data.BatchLoader(images, labels, 32, **options)

    def run():
        return gb.Run(gb.Settings((8,), num_epochs=1), (train_iter, train_iter))

    def train(**changes):
        arguments = {
            "net": net, "train_iter": train_iter, "test_iter": train_iter, "loss": loss,
            "num_epochs": 1, "batch_size": 32, "params": params, "lr": 0.1,
        }  # fmt: skip
        return list(gb.train_epochs(**arguments | changes))

    unbiased = gluon.nn.Sequential()
    unbiased.add(gluon.nn.Dense(8, in_units=784, use_bias=False))
    train_iter = loader(images, labels)
    made = {
        "arrays": [param.asnumpy() for param in params],
        "both": data.FashionMNIST(images, labels, images, labels, ""),
        "empty": nd.array(np.zeros((0, 784))),
        "epoch": results.EpochResult(1, 0.5, 0.5, 0.5, 1.0),
        "four": (net, train_iter, train_iter, loss),
        "inf": float("inf"),
        "nan": float("nan"),
        "ones": np.ones((3, 2, 3)),
        "twin": gb.gluon_twin(params),
        "unbiased": unbiased,
        "X": nd.ones((2, 784)),
        "y": nd.zeros(2),
    }
    here = ("images", "labels", "params", "net", "train_iter", "loader", "run", "train")
    made |= {name: value for name, value in locals().items() if name in here}
    libraries = {"gb": gb, "mxnet": mxnet, "nd": nd, "np": np, "Path": Path}
    return made | MODULES | libraries | paths | {"loss": loss}


def in_order(parts, text):
    """Tell whether ``text`` has all parts, one after the other."""
    return re.search(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None


ROWS = [
    row
    for table in ("MODELS", "DATA", "TRAINING", "RUNS", "PICTURES", "FILES")
    for row in getattr(bad_arguments, table)
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_function_names_what_it_cannot_take(row, names, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:9/")
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))
    call, *parts = row
    before = [param.asnumpy() for param in names["params"]]
    with pytest.raises((ValueError, OSError)) as caught:
        eval(call, names)
    assert in_order(parts, str(caught.value)), str(caught.value)
    assert "Traceback" not in str(caught.value)
    plt.close("all")
    if "train(" not in call:
        for param, old in zip(names["params"], before, strict=True):
            np.testing.assert_array_equal(param.asnumpy(), old)


#: They take nothing, or any text, or leave it to MXNet, or are errors and results.
TAKE_ANYTHING = {
    "use_svg_display", "relu", "headline", "DataError", "NotTraceable",
    "TrainingDiverged", "EpochResult", "BatchLoader",
}  # fmt: skip


def test_every_public_function_has_its_rows():
    calls = " ".join(row[0] for row in ROWS)
    public = {name for name in gb.__all__ if callable(getattr(gb, name))}
    assert {name for name in public if f"gb.{name}(" not in calls} == TAKE_ANYTHING | {
        # It is ``train`` in the table, and ``loader``.
        "train_epochs"
    }
    assert "train(" in calls and "loader(" in calls


@pytest.fixture
def command(monkeypatch, capfd):
    """Run the command line in this process; return its exit code and what it says."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    # In a process of its own it would end it.
    monkeypatch.setattr(cli._stop, "ignore", lambda: None)
    monkeypatch.setattr("warnings.showwarning", None)

    def run(arguments):
        monkeypatch.setattr(sys, "argv", ["d2l_mlp", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        out, err = capfd.readouterr()
        if isinstance(code, str):
            code, err = 1, code
        # Without the frame that is drawn around it.
        return code, re.sub(r"[\s│╭╮╰╯─]+", " ", err), out

    return run


@pytest.mark.parametrize(
    ("line", "code", "parts"),
    [(row[0], row[1], row[2:]) for row in bad_commands.ROWS],
    ids=[row[0] or "nothing" for row in bad_commands.ROWS],
)
def test_a_command_names_what_it_cannot_take(
    line, code, parts, command, paths, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = [word.format(**paths) for word in line.split()]
    found, errors, printed = command(arguments)
    assert (found, in_order(parts, errors)) == (code, True), errors
    assert "Traceback" not in errors + printed
    assert "epoch 1" not in printed


def test_every_option_of_every_command_has_a_row():
    lines = [row[0].split() for row in bad_commands.ROWS]
    missing = {
        (name, option)
        for name, found in commands(typer.main.get_command(cli.app)).items()
        for option in found
        if not any(name in " ".join(line) and option in line for line in lines)
    }
    assert missing == bad_commands.TAKE_ANYTHING


def commands(group, path=""):
    """Return the options that take a value, by the words of their command."""
    found = {}
    for name, each in group.commands.items():
        words = f"{path} {name}".strip()
        if hasattr(each, "commands"):
            found |= commands(each, words)
        else:
            taking = [p for p in each.params if not getattr(p, "is_flag", False)]
            found[words] = {p.opts[0] for p in taking if p.opts[0].startswith("--")}
    return found


@pytest.mark.parametrize("row", bad_commands.IN_A_PROCESS, ids=lambda row: row[0])
def test_in_a_process_of_its_own_it_ends_the_same(row, paths, tmp_path):
    line, code, *parts = row
    arguments = [word.format(**paths) for word in line.split()]
    done = subprocess.run(
        [sys.executable, "-m", "d2l_mlp", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "300", "MPLBACKEND": "agg"},
    )
    assert (done.returncode, in_order(parts, done.stderr)) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
