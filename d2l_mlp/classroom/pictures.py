"""Images and weights as PNG, for the page."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from PIL import Image

from ..chapter.plot_weights import weights_mosaic

#: Units of the first layer that are shown, and the columns of their grid.
UNITS, COLUMNS = 32, 8


def weights_png(W: np.ndarray) -> bytes:
    """Return the first layer's weights, a 28×28 picture for each of up to 32 units.

    Red pixels raise the unit's value, blue ones lower it, white is 0.

    Args:
        W: float32 ``(784, units)``.
    """
    mosaic, limit = weights_mosaic(W[:, :UNITS], COLUMNS)
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="white")
    return to_png(colours((mosaic / limit + 1) / 2, bytes=True)[..., :3])


def to_png(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels ``(height, width)`` or ``(height, width, 3)`` as a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
