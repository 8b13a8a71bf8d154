from d2l_mlp.exercises.trials import Place

import pytest


@pytest.fixture
def place(tmp_path):
    """Return where a small search goes, which has not begun."""
    return Place("small", tmp_path / "search.journal")
