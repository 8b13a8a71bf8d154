"""The command line as its users run it: in a process of its own, on the real data."""

import os
import pty
import re
import resource
import subprocess
import sys

import pytest

LINE = r"epoch (\d+), loss (\S+), train acc (\S+), test acc (\S+)"


def run(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "d2l_mlp", *map(str, arguments)],
        capture_output=True,
        text=True,
        **kwargs,
    )


def test_book_prints_and_draws(tmp_path):
    done = run("book", "--num-epochs", 2, "--output", tmp_path / "new" / "folder")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match("seed 0, Fashion-MNIST 2017-08-31, mxnet 1.9.1, numpy 1", lines[0])
    assert lines[0].endswith(f", OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}")
    assert lines.pop(1) == "net 784-256-10, lr 0.5, batch size 256, 2 epochs"
    epochs = [re.match(LINE, line) for line in lines[1:3]]
    assert [int(epoch[1]) for epoch in epochs] == [1, 2]
    assert 0.8 < float(epochs[1][4]) < 0.87
    assert lines[1].endswith("book 0.8394 0.687 0.818")
    assert lines[3] == "the linear model, lr 0.1:"
    assert re.match(LINE, lines[4])[1] == "2"
    for name in ("predictions.png", "curves.png"):
        picture = (tmp_path / "new" / "folder" / name).read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_book_takes_its_settings(tmp_path):
    options = "--num-hiddens 32,16 --lr 0.1 --batch-size 512 --seed 3 --num-epochs 1"
    arguments = ["book", *options.split(), "--output", tmp_path]
    done, gluon = run(*arguments), run(*arguments, "--gluon")
    assert done.returncode == gluon.returncode == 0, done.stderr + gluon.stderr
    assert done.stdout.startswith("seed 3, ")
    assert "not as in the book: num_hiddens (32, 16) (the book: (256,))" in done.stdout
    assert "not as in the book: lr 0.1 (the book: 0.5)" in done.stdout
    losses = [float(re.search(LINE, text.stdout)[2]) for text in (done, gluon)]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_book_takes_what_a_search_may_choose(tmp_path):
    options = "--schedule cosine --scale he --dropout 0.2 --wd 0.001"
    base = ["book", "--fast", "--num-hiddens", 32, "--num-epochs", 1]
    base += ["--output", tmp_path]
    plain, changed = run(*base), run(*base, *options.split())
    assert changed.returncode == 0, changed.stderr
    lines = changed.stdout.splitlines()
    assert lines[1].endswith("1 epoch, scale he, dropout 0.2, wd 0.001")
    for name in ("scale he", "schedule cosine", "dropout 0.2", "wd 0.001"):
        assert f"not as in the book: {name} (the book: " in changed.stdout
    # The linear model is the book's all the same.
    rest = [text.stdout.partition("the linear model")[2] for text in (plain, changed)]
    assert rest[0] == rest[1] and "epoch 1" in rest[0]
    assert re.search(LINE, plain.stdout)[0] != re.search(LINE, changed.stdout)[0]


def test_linear_is_held_against_its_own_edition(tmp_path):
    done = run("book", "--linear", "--num-epochs", 1, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(LINE + "  book 0.7895 0.745 0.807", done.stdout)
    assert "linear model" not in done.stdout


def test_a_terminal_shows_a_progress_bar(tmp_path):
    """The bar is drawn on a terminal only; the epochs' lines stay whole above it."""
    main, end = pty.openpty()
    arguments = [sys.executable, "-m", "d2l_mlp", "book", "--linear"]
    process = subprocess.Popen(
        [*arguments, "--num-epochs", "2", "--output", tmp_path],
        stdout=end,
        stderr=end,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(end)
    screen = b""
    while True:
        try:
            screen += os.read(main, 65536)
        except OSError:
            break
    assert process.wait() == 0
    assert "━" in screen.decode() and "0/2" in screen.decode()
    assert re.search(LINE, screen.decode())


def test_a_run_that_diverges_ends_in_one_line(tmp_path):
    options = ["--lr", "1e30", "--num-epochs", "1", "--output", tmp_path]
    done = run("book", "--num-hiddens", "8", *options)
    assert done.returncode == 1
    assert re.fullmatch(r"error: epoch 1: found training loss .*\n", done.stderr)


def test_brackets_in_a_path_are_just_brackets(tmp_path):
    folder = tmp_path / "runs[a]" / "[/b]"
    done = run("book", "--linear", "--num-epochs", 1, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert f"wrote {folder}/curves.png" in done.stdout


def test_a_damaged_file_is_warned_of_in_a_line(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    options = ["--linear", "--num-epochs", 1, "--root", tmp_path]
    done = run("book", *options, "--output", tmp_path / "pictures")
    assert done.returncode == 0
    damaged, instead = done.stderr.splitlines()
    assert damaged.startswith(f"warning: damaged data file: {tmp_path}/train-images")
    assert instead.startswith("warning: ") and "; using /" in instead


def test_a_picture_for_which_there_is_no_room_is_named(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    options = ["--fast", "--num-hiddens", 8, "--num-epochs", 1, "--output", tmp_path]
    done = run("book", *options, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/predictions.png: File too large\n"
    assert list(tmp_path.iterdir()) == []
