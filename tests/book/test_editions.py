import json
from pathlib import Path

import d2l_mlp.book
from d2l_mlp.book import CHAPTER, LINEAR, load_editions
from d2l_mlp.run import Settings
from d2l_mlp.training import EpochResult

import pytest


def test_every_published_run_is_there_whole():
    editions = load_editions()
    path = Path(d2l_mlp.book.__file__).with_name("editions.json")
    assert list(editions) == [e["id"] for e in json.loads(path.read_text())["editions"]]
    for edition in editions.values():
        assert edition.train_metric in ("sample", "batch")
        assert len(edition.epochs) in (5, 10)
        for loss, train_accuracy, test_accuracy in edition.epochs:
            assert 0 < loss < 1 and 0.6 < train_accuracy < 1 and 0.7 < test_accuracy < 1


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
