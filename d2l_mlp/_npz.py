"""NumPy's ``.npz`` of plain arrays: what each holds is known before it is unpacked.

``numpy.load`` takes what memory a file tells it to take. Here a file is first asked
what is in it, and no more than that is read.
"""

from __future__ import annotations

import ast
import math
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Starts a zip file, and an empty one.
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
#: Starts each array: version 1.0 of the format, as plain arrays have it.
_MAGIC = b"\x93NUMPY\x01\x00"
#: Bytes of a header; NumPy's are of 118 for an array of a few dimensions.
_MOST_HEADER = 1000
#: Plain numbers alone, and nothing that it would be dear to evaluate.
_HEADER = re.compile(
    r"\{'descr': '([<>|][biufc]\d{1,2})', 'fortran_order': (True|False), "
    # One way to read it alone: among several it would look for hours.
    r"'shape': (\((?:\d{1,15}(?:, \d{1,15}){0,7},?)?\)), \} *\n"
)
#: Deflate packs no better than 1032 to 1.
_MOST_RATIO = 1032


@dataclass(frozen=True)
class Form:
    """What an array is, before its numbers are read."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    #: Bytes in front of the numbers.
    start: int


class Npz:
    """An open ``.npz`` file of plain numbers; a context.

    Args:
        path: the file.

    Attributes:
        forms: each array's, by name.

    Raises:
        ValueError: there is something else in it, or less than it says. The readers of
            Python's zip files raise several other errors as well.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        stream = path.open("rb")
        try:
            # As NumPy asks; a zip file's reader takes what cannot be read for no zip.
            if stream.read(4) not in _ZIPS:
                raise ValueError("no zip file")
            self._size = os.fstat(stream.fileno()).st_size
            self._stream, self._file = stream, zipfile.ZipFile(stream)
            self.forms: dict[str, Form] = {}
            for info in self._file.infolist():
                name = info.filename.removesuffix(".npy")
                if name in self.forms:
                    raise ValueError(f"two arrays named {name[:40]}")
                self.forms[name] = self._read_form(info)
        except BaseException:
            stream.close()
            raise

    def read(self, name: str) -> np.ndarray:
        """Return an array."""
        form, info = self.forms[name], self._file.getinfo(f"{name}.npy")
        with self._file.open(info) as stream:
            stream.read(form.start)
            # As many as are wanted: asked for all, it would unpack what there is.
            content = stream.read(info.file_size - form.start)
        array = np.frombuffer(content, form.dtype)
        return array.reshape(form.shape, order="F" if form.fortran_order else "C")

    def _read_form(self, info: zipfile.ZipInfo) -> Form:
        name = info.filename[:40]
        ratio = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _MOST_RATIO}
        if info.compress_type not in ratio or not info.filename.endswith(".npy"):
            raise ValueError(f"{name} is not packed as NumPy does")
        most = info.compress_size * ratio[info.compress_type]
        if info.compress_size > self._size or info.file_size > most:
            raise ValueError(f"{name} says that it is larger than it can be")
        with self._file.open(info) as stream:
            start = stream.read(len(_MAGIC) + 2)
            length = int.from_bytes(start[len(_MAGIC) :], "little")
            if not start.startswith(_MAGIC) or length > _MOST_HEADER:
                raise ValueError(f"{name} is no array of numbers")
            found = _HEADER.fullmatch(stream.read(length).decode("latin-1"))
        if found is None:
            raise ValueError(f"{name} is no array of numbers")
        dtype, shape = np.dtype(found[1]), ast.literal_eval(found[3])
        if not isinstance(shape, tuple):
            raise ValueError(f"{name} is no array of numbers")
        size = len(start) + length + math.prod(shape) * dtype.itemsize
        if info.file_size != size:
            raise ValueError(f"{name} has {info.file_size} bytes, not {size}")
        return Form(dtype, shape, found[2] == "True", len(start) + length)

    def __enter__(self) -> Npz:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._stream.close()
