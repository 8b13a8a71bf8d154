"""Pictures as a student would draw or photograph them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def bar(background=255, ink=0, shape=(300, 200), box=(40, 260, 90, 130)):
    pixels = np.full(shape, background, np.uint8)
    pixels[box[0] : box[1], box[2] : box[3]] = ink
    return pixels


def png_header(width, height):
    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data)
