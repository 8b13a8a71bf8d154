"""docs/from-gluonbook.md: what is served, and what is not."""

import inspect
import re
from pathlib import Path

import d2l_mlp as gb

import gluonbook

PAGE = (Path(__file__).parents[1] / "docs" / "from-gluonbook.md").read_text()


def test_the_page_has_all_of_gluonbooks_names():
    theirs = {
        name
        for name, value in vars(gluonbook).items()
        if callable(value)
        and value.__module__.startswith("gluonbook")
        and not name.startswith("_")
    }
    served, missing = PAGE.split("## Not served")
    assert set(re.findall(r"^\| `(\w+)`", served, re.M)) == theirs & set(gb.__all__)
    listed = missing.split("missing:")[1].split("They run")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == theirs - set(gb.__all__)


def test_what_is_served_takes_their_arguments_in_their_order():
    for name in re.findall(r"^\| `(\w+)`", PAGE, re.M):
        theirs = inspect.signature(getattr(gluonbook, name)).parameters
        ours = list(inspect.signature(getattr(gb, name)).parameters.values())
        # gluonbook's list of devices became the arrays' own.
        names = [n for n in theirs if n != "ctx"]
        assert [p.name for p in ours[: len(names)]] == names, name
        rest = ours[len(names) :]
        assert all(p.default is not inspect.Parameter.empty for p in rest), name
