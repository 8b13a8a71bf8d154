"""Run notebooks top to bottom and keep them with their output.

    python scripts/run_notebooks.py notebooks/*.ipynb
    python scripts/run_notebooks.py --clean notebooks/*.ipynb  # without running them

Only what a reader sees is kept: no times, no versions, so that a difference between
two commits is a difference in content.

A cell that draws figures describes them in its first lines, for readers who cannot see
them: ``#| fig-alt:`` (as Quarto writes it) and a quoted text, or a YAML list of
them, one for each figure. It is kept as ``alt`` in the output's metadata, where
nbconvert reads it.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

KEPT_METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


def run(path: Path) -> None:
    """Execute the notebook in its own folder; an error leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    save(notebook, path)
    print(f"ran {path}")


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook with its output, and nothing that differs between two runs."""
    notebook.metadata = nbformat.from_dict(KEPT_METADATA)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({})
        describe(cell)
    text = nbformat.writes(notebook)
    # Other ones each time, and of no use later: the classroom's port and token, and
    # where an object lay in memory.
    text = re.sub(r"127\.0\.0\.1:\d+/#token=[\w-]+", "127.0.0.1:8000/", text)
    text = re.sub(r"<(\S+) at 0x[0-9a-f]+>", r"<\1>", text)
    path.write_text(text + "\n", encoding="utf-8")


def describe(cell: nbformat.NotebookNode) -> None:
    """Give each figure of the cell its alternative text."""
    lines = [line[2:].strip() for line in cell.source.splitlines() if line[:2] == "#|"]
    texts = re.findall(r'"(.+?)"', " ".join(lines))
    figures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    for figure, text in zip(figures, texts, strict=True):
        figure.metadata["image/png"] = nbformat.from_dict({"alt": text})


if __name__ == "__main__":
    clean = sys.argv[1:2] == ["--clean"]
    for argument in sys.argv[1 + clean :]:
        if clean:
            save(nbformat.read(argument, as_version=4), Path(argument))
        else:
            run(Path(argument))
