"""Notebooks as they are kept; ``pytest --nbmake`` runs them from top to bottom."""

from pathlib import Path

import nbformat
import pytest

from scripts.run_notebooks import KEPT_METADATA

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_executed_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == KEPT_METADATA
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert "site-packages" not in path.read_text(), "a warning with a machine's path"
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds and "error" not in kinds


def test_the_walkthrough_ends_where_the_chapter_ends():
    (path,) = (path for path in NOTEBOOKS if path.stem == "mlp_scratch")
    outputs = [
        output
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    lines = "".join(output.get("text", "") for output in outputs).splitlines()
    last = next(line for line in lines if line.startswith("epoch 10, "))
    assert 0.855 <= float(last.split("test acc ")[1]) <= 0.885
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) == 3
