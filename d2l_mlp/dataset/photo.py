"""A drawing or photo as the net wants it: 28×28, grey, light on dark, centred.

After the steps by which Fashion-MNIST itself was made from photos (Xiao, Rasul &
Vollgraf, arXiv:1708.07747, section 2): trimmed, longest edge to 28 pixels, extended to
a square with the object in the middle, negated, grey.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .._values import brief

#: Largest file in bytes, and largest picture in pixels, that are accepted.
MOST_BYTES, MOST_PIXELS = 8_000_000, 8_000_000
#: Formats that are accepted; the readers of rarer ones are less well tested.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
#: Least difference in grey levels between the object and the background.
CONTRAST = 24


class PhotoError(ValueError):
    """A file is not a picture that can be used; the message says why."""


def to_image(content: bytes) -> np.ndarray:
    """Return uint8 ``(28, 28)``, the object light on a background of 0.

    Args:
        content: a PNG, JPEG, WebP, GIF (its first frame) or BMP file; what is
            transparent is background.

    Raises:
        PhotoError: too large, not a picture, or of one colour.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise PhotoError(f"picture: found {brief(content)}, expected a file's bytes")
    if len(content) > MOST_BYTES:
        raise PhotoError(
            f"picture: found {len(content)} bytes, expected at most {MOST_BYTES}"
        )
    grey = np.asarray(_open(content), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    # The object is whatever differs from the border, darker or lighter.
    light = np.abs(grey - np.median(border))
    rows, columns = (np.flatnonzero((light > CONTRAST).any(axis=i)) for i in (1, 0))
    if not len(rows):
        raise PhotoError(
            "picture: found one colour, expected an object on a background"
        )
    light = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    light *= 255 / max(light.max(), 1)
    height, width = light.shape
    scale = 28 / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(light.astype(np.uint8)).resize(size, Image.Resampling.BOX)
    result = Image.new("L", (28, 28))
    result.paste(small, ((28 - size[0]) // 2, (28 - size[1]) // 2))
    return np.asarray(result)


def _open(content: bytes) -> Image.Image:
    """Return the picture in grey, upright, on white where it was transparent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            # A JPEG is decoded at a smaller size, so that a phone's photo is accepted.
            picture.draft("L", (512, 512))
            width, height = picture.size
            # Checked before any pixel is decoded.
            if width * height > MOST_PIXELS:
                raise Image.DecompressionBombError
            # Reading its EXIF first would accept a file that is cut off.
            picture.load()
            picture = ImageOps.exif_transpose(picture)
            picture = picture.convert("RGBA" if picture.has_transparency_data else "L")
            picture.thumbnail((512, 512), Image.Resampling.BOX)
    except Image.DecompressionBombError:
        raise PhotoError(
            f"picture: found too many pixels, expected at most {MOST_PIXELS}, for "
            "instance 4000×2000"
        ) from None
    except UnidentifiedImageError:
        raise PhotoError(
            f"picture: found {len(content)} bytes of another format, expected one of "
            f"{', '.join(FORMATS)}"
        ) from None
    # On damaged files Pillow's decoders raise almost any exception.
    except Exception as error:
        raise PhotoError(f"picture: found a damaged file ({error})") from None
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("L")
    return picture
