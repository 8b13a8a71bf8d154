import json
from pathlib import Path

from d2l_mlp.book import editions as module
from d2l_mlp.book.editions import CHAPTER, LINEAR, EditionError, load_editions
from d2l_mlp.chapter.results import EpochResult
from d2l_mlp.runs.run import Settings

import pytest


def test_every_published_run_is_there_whole():
    editions = load_editions()
    path = Path(module.__file__).with_name("editions.json")
    assert list(editions) == [e["id"] for e in json.loads(path.read_text())["editions"]]
    for edition in editions.values():
        assert edition.train_metric in ("sample", "batch")
        assert len(edition.epochs) in (5, 10)
        for loss, train_accuracy, test_accuracy in edition.epochs:
            assert 0 < loss < 1 and 0.6 < train_accuracy < 1 and 0.7 < test_accuracy < 1


@pytest.fixture
def broken(tmp_path):
    """Write the editions with one thing changed; return the file."""

    def write(where, value):
        source = Path(module.__file__).with_name("editions.json")
        contents = json.loads(source.read_text())
        part = contents
        for key in where[:-1]:
            part = part[key]
        if value is None:
            del part[where[-1]]
        else:
            part[where[-1]] = value
        path = tmp_path / "editions.json"
        path.write_text(json.dumps(contents))
        return path

    return write


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (["editions"], [], "at editions: List should have at least 1 item"),
        (["editions"], None, "at editions: Field required"),
        (["editions", 0, "lr"], -0.5, "found '-0.5' at editions, 0, lr: .*greater"),
        (["editions", 0, "lr"], "fast", "found 'fast' at editions, 0, lr"),
        (["editions", 1, "train_metric"], "best", "'sample' or 'batch'"),
        (["editions", 1, "hidden_units"], [0], "at editions, 1, hidden_units, 0"),
        (["editions", 1, "batch_size"], 2.5, "at editions, 1, batch_size"),
        (["editions", 1, "epochs"], [], "at editions, 1, epochs"),
        (["editions", 0, "epochs", 3], [0.5, 0.8], "at editions, 0, epochs, 3, 2"),
        (
            ["editions", 0, "epochs", 3, 2],
            88.2,
            "editions, 0, epochs, 3, 2: .*equal to 1",
        ),
        (["editions", 0, "epochs", 3, 0], float("nan"), "editions, 0, epochs, 3, 0"),
        (["editions", 0, "id"], "zh-2018-08", "found two editions of one id"),
        (["editions", 0, "id"], "", "at editions, 0, id"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_place(broken, where, value, message):
    path = broken(where, value)
    with pytest.raises(EditionError, match=message) as error:
        load_editions(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
def test_what_is_no_json_is_refused(tmp_path, text):
    path = tmp_path / "editions.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(EditionError, match="editions.json: found"):
        load_editions(path)


def test_a_file_of_other_editions_is_taken(broken):
    path = broken(["editions", 0, "id"], "mine")
    assert list(load_editions(path))[0] == "mine"


def test_the_chapters_last_line_and_settings():
    chapter = load_editions()[CHAPTER]
    assert chapter.epochs[9] == (0.3104, 0.886, 0.882)
    assert chapter.differences(Settings()) == []
    assert load_editions()[LINEAR].num_hiddens == ()


def test_other_settings_are_named():
    differences = load_editions()[CHAPTER].differences(Settings((64,), lr=0.1))
    assert differences == [
        "num_hiddens (64,) (the book: (256,))",
        "lr 0.1 (the book: 0.5)",
    ]


@pytest.mark.parametrize(
    ("epoch", "end"), [(1, "0.812  book 0.8394 0.687 0.818"), (11, "test acc 0.812")]
)
def test_the_printed_numbers_stand_beside_ours(epoch, end):
    result = EpochResult(epoch, 0.81804, 0.6931, 0.8121, 1.0)
    line = load_editions()[CHAPTER].beside(result)
    assert line.startswith(f"epoch {epoch}, loss 0.8180, train acc 0.693, test acc 0.8")
    assert line.endswith(end)
    assert len(line) <= 80
