"""Notebooks as they are kept; ``pytest --nbmake`` runs them from top to bottom."""

import base64
import io
from pathlib import Path

import nbformat
import pytest
from PIL import Image

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


def figures(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                yield output


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_show_where_no_svg_does_fit_the_page_and_have_alt_text(path):
    """JupyterLab shows no SVG of a notebook that it does not trust."""
    for output in figures(path):
        assert {"image/png", "image/svg+xml"} <= set(output.data)
        png = base64.b64decode(output.data["image/png"])
        assert Image.open(io.BytesIO(png)).width <= 900, "9 inches at 100 dpi"
        assert len(output.metadata["image/png"]["alt"]) > 20


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
    assert len(list(figures(path))) == 3
