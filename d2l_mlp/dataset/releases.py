"""The published releases of Fashion-MNIST: read their files, tell them apart.

A release is recognised by its content, never by where it came from: by the SHA-256 of
the decompressed bytes or, where that was never published, by the SHA-1 of the
published ``.gz`` file. ``releases.json`` has the checksums and their sources.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

_FACTS = json.loads(Path(__file__).with_name("releases.json").read_text())
FILES: tuple[str, ...] = tuple(_FACTS["files"])
URLS: dict[str, str] = {r["id"]: r["url"] for r in _FACTS["releases"]}
#: Where Debian's package dataset-fashion-mnist puts the files.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class DataError(ValueError):
    """The data set cannot be found, fetched or trusted; the message says what to do."""


@dataclass(frozen=True)
class DataFile:
    """One verified file.

    Attributes:
        path: where it was found.
        array: uint8, images ``(n, 28, 28, 1)`` or labels ``(n,)``.
        release: the id of its release, for instance ``"2017-08-31"``.
    """

    path: Path
    array: np.ndarray
    release: str


def default_root() -> Path:
    """Return Gluon's own folder for this data set (``MXNET_HOME`` is honoured)."""
    home = os.environ.get("MXNET_HOME") or Path.home() / ".mxnet"
    return Path(home).expanduser() / "datasets" / "fashion-mnist"


def gz_sums(release: str) -> dict[str, str]:
    """Return the published checksums of a release's ``.gz`` files, for pooch."""
    (facts,) = (one for one in _FACTS["releases"] if one["id"] == release)
    kind = "md5" if "gz_md5" in facts else "sha1"
    return {f"{name}.gz": f"{kind}:{sum}" for name, sum in facts[f"gz_{kind}"].items()}


def read_file(path: Path, name: str) -> DataFile:
    """Read one idx file, gzipped or not, and recognise its release.

    The format: a header of 16 bytes for images and 8 for labels, then one byte for each
    pixel or label (http://yann.lecun.com/exdb/mnist).

    Args:
        path: the file.
        name: which of ``FILES`` it should be.

    Raises:
        DataError: damaged, of another size or of unknown content.
        OSError: the file cannot be read.
    """
    raw = path.read_bytes()
    size = _FACTS["bytes"][name]
    data = raw
    if raw.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(BytesIO(raw)) as stream:
                # One byte more shows a longer file, however long it is.
                data = stream.read(size + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            found = f"a damaged gzip file ({error})"
            raise _fault(path, found, f"{size} bytes in it") from None
    if len(data) != size:
        found = f"{len(data)} bytes" if len(data) < size else f"over {size} bytes"
        raise _fault(path, found, f"{size} bytes")
    header, shape = (16, (-1, 28, 28, 1)) if "images" in name else (8, (-1,))
    array = np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    sha256 = hashlib.sha256(data).hexdigest()
    gz_sha1 = hashlib.sha1(raw).hexdigest()
    for release in _FACTS["releases"]:
        known = release["sha256"].get(name), release["gz_sha1"].get(name)
        if sha256 == known[0] or gz_sha1 == known[1]:
            return DataFile(path, array, release["id"])
    found = f"unknown content (SHA-256 {sha256[:16]}…)"
    if "labels" in name and len(set(np.bincount(array, minlength=10))) > 1:
        # Fashion-MNIST has equally many images of each class; plain MNIST has not.
        found += " with classes of unequal size, as plain MNIST has"
    raise _fault(path, found, f"{name} of Fashion-MNIST, {' or '.join(URLS)}")


def read_folder(folder: Path) -> tuple[dict[str, DataFile], list[str]]:
    """Return the verified files of ``folder`` by name, and what is wrong with others.

    An uncompressed file will do where there is no sound ``.gz``.
    """
    found: dict[str, DataFile] = {}
    faults: list[str] = []
    for name in FILES:
        for path in (folder / f"{name}.gz", folder / name):
            try:
                found[name] = read_file(path, name)
                break
            except (FileNotFoundError, NotADirectoryError):
                continue
            except DataError as error:
                faults.append(str(error))
            except OSError as error:
                faults.append(f"{path}: cannot be read ({error.strerror})")
    return found, faults


def release_ids(files: dict[str, DataFile]) -> list[str]:
    """Return the releases that ``files`` belong to, sorted."""
    return sorted({file.release for file in files.values()})


def is_whole(files: dict[str, DataFile], release: str | None = None) -> bool:
    """Tell whether ``files`` are all four of one release, or of this ``release``."""
    ids = release_ids(files)
    return len(files) == len(FILES) and len(ids) == 1 and release in (None, *ids)


def _fault(path: Path, found: str, expected: str) -> DataError:
    return DataError(f"{path}: found {found}, expected {expected}")
