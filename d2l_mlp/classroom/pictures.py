"""What the page shows of images and weights, as PNG."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from PIL import Image

#: Units of the first layer that are shown, in a grid this wide.
UNITS, COLUMNS = 32, 8


def weights_png(W: np.ndarray) -> bytes:
    """Return the first layer's weights, a 28×28 picture for each of up to 32 units.

    Red lights up the unit, blue quiets it, white is 0.

    Args:
        W: float32 ``(784, units)``.
    """
    units = W.T[:UNITS].reshape(-1, 28, 28)
    # The few largest weights would leave all others pale.
    limit = float(np.quantile(np.abs(units), 0.995)) or 1.0
    columns = min(COLUMNS, len(units))
    rows = -(-len(units) // columns)
    mosaic = np.full((30 * rows, 30 * columns, 3), 255, np.uint8)
    colours = matplotlib.colormaps["RdBu_r"]((units / limit + 1) / 2, bytes=True)
    for i, colour in enumerate(colours[..., :3]):
        top, left = 30 * (i // columns) + 1, 30 * (i % columns) + 1
        mosaic[top : top + 28, left : left + 28] = colour
    return to_png(mosaic)


def to_png(pixels: np.ndarray) -> bytes:
    """Return uint8 ``(height, width)`` or ``(height, width, 3)`` as they are."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
