"""What a search says in the end, and the command that repeats what it chose."""

import json
from dataclasses import replace

from d2l_mlp.exercises.outcome import OPTIONS, command_of, final_accuracies
from d2l_mlp.exercises.space import PLAIN, REGULARISED, to_settings
from d2l_mlp.runs.run import Settings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st


def settings(space):
    """Return any settings that a search in ``space`` may come to."""
    low, high = space.lr
    values = {
        name: st.sampled_from(getattr(space, name))
        for name in ("num_epochs", "batch_size", "schedule", "scale")
    }
    values |= {
        "lr": st.floats(low, high),
        "num_layers": st.integers(1, space.num_layers),
        **{f"units_{i}": st.sampled_from(space.units) for i in (1, 2, 3)},
    }
    if space.dropout:
        values["dropout"] = st.integers(0, 5).map(lambda tenths: tenths / 10)
        values["wd"] = st.floats(*space.wd)
    return st.fixed_dictionaries(values).map(to_settings)


@given(st.one_of(settings(PLAIN), settings(REGULARISED)), st.integers(0, 2**31 - 1))
def test_the_command_repeats_the_settings(found, seed):
    """Parsed by the command line itself, up to where the run would start."""
    from d2l_mlp.commands import book

    import typer

    found = replace(found, seed=seed)
    words = command_of(found).split()
    assert words[:4] == ["python", "-m", "d2l_mlp", "book"]
    app = typer.Typer()
    app.command()(book.book)
    context = typer.main.get_command(app).make_context("book", words[4:])
    asked = context.params
    assert asked["fast"] and asked["seed"] == seed
    assert (asked["num_hiddens"] or (256,)) == found.num_hiddens
    assert (asked["lr"] or 0.5) == found.lr
    assert (asked["num_epochs"] or 10) == found.num_epochs
    assert asked["batch_size"] == found.batch_size
    assert asked["scale"] == found.scale
    assert asked["schedule"] == found.schedule
    assert (asked["dropout"], asked["wd"]) == (found.dropout, found.wd)


def test_every_setting_that_a_search_changes_has_its_option():
    changed = {"use_gluon", "train_metric", "hybridize"}
    assert set(OPTIONS) == set(Settings.__dataclass_fields__) - changed


@pytest.mark.parametrize("space", [PLAIN, REGULARISED], ids=["plain", "regularised"])
def test_the_chapters_setting_is_tried_first(space):
    study = optuna.create_study()
    study.enqueue_trial(space.chapters())
    found = space.suggest(study.ask())
    chapters = Settings(hybridize=True, wd=space.wd[0] if space.wd else 0.0)
    assert found == chapters
    json.dumps(space.chapters())


def test_a_diverged_final_run_counts_as_guessing():
    ended = {"curves": {"test_accuracy": [0.8, 0.9]}, "diverged": False}
    lost = {"curves": {}, "diverged": True}
    records = [{"result": ended}, {"result": lost}]
    assert final_accuracies(records).tolist() == [0.9, 0.1]
