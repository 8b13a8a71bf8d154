"""The comparison as pictures: what was printed, over the band of our runs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..chapter.curves import plot_bands
from ..runs.run import describe_layers
from .editions import models_of
from .findings import WHERE, Comparison


def draw(comparison: Comparison) -> dict[str, Figure]:
    """Return a picture for each model that has runs, by a name for its file."""
    figures = {}
    for model in models_of(comparison.editions.values()):
        longest = max(model, key=lambda edition: len(edition.epochs))
        kinds = {
            kind: comparison.runs[longest.id, split]
            for split, kind in WHERE.items()
            if (longest.id, split) in comparison.runs
        }
        if kinds:
            layers = describe_layers(longest.num_hiddens)
            name = f"net-{layers}-lr-{longest.lr:g}-batch-{longest.batch_size}"
            title = f"net {layers}, lr {longest.lr:g}: what the editions printed"
            books = {edition.id: np.array(edition.epochs) for edition in model}
            figures[name] = plot_bands(kinds, books, f"{title} and our runs")
    return figures
