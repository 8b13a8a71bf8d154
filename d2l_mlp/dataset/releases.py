"""The published releases of Fashion-MNIST: read their files, tell them apart.

A release is recognised by content, never by where it came from: by the SHA-256 of
the decompressed bytes or, where that was never published, by the SHA-1 of the
published ``.gz`` file. ``releases.json`` holds the sums and their sources.
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
        path: where it lies.
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


def published_sha1() -> dict[str, dict[str, str]]:
    """Return the SHA-1 sums of each release's ``.gz`` files, by release and name."""
    return {
        release["id"]: release["gz_sha1"]
        for release in _FACTS["releases"]
        if "gz_sha1" in release
    }


def gz_sums(release: str) -> dict[str, str]:
    """Return the published checksums of a release's ``.gz`` files, for pooch."""
    (facts,) = (one for one in _FACTS["releases"] if one["id"] == release)
    kind = "md5" if "gz_md5" in facts else "sha1"
    return {f"{name}.gz": f"{kind}:{sum}" for name, sum in facts[f"gz_{kind}"].items()}


def read_file(path: Path, name: str, source: str | None = None) -> DataFile:
    """Read one idx file, gzipped or not, and recognise its release.

    Args:
        path: the file.
        name: which of ``FILES`` it should be.
        source: what error messages call it; its path by default.

    Raises:
        DataError: truncated, of another format or shape, or of unknown content.
        OSError: the file cannot be read.
    """
    source = source or str(path)
    _check_name(name)
    raw = path.read_bytes()
    data = _decompress(raw, name, source) if raw.startswith(b"\x1f\x8b") else raw
    array = parse_idx(data, name, source)
    return DataFile(path, array, _recognise(raw, data, array, name, source))


def read_folder(folder: Path) -> tuple[dict[str, DataFile], list[str]]:
    """Return the verified files of ``folder`` by name, and each fault of the others."""
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
    """Return the releases that ``files`` belong to, sorted; one of them is sound."""
    return sorted({file.release for file in files.values()})


def is_whole(files: dict[str, DataFile], release: str | None = None) -> bool:
    """Tell whether ``files`` are all four of one release, or of this ``release``."""
    ids = release_ids(files)
    return len(files) == len(FILES) and len(ids) == 1 and release in (None, *ids)


def parse_idx(data: bytes, name: str, source: str) -> np.ndarray:
    """Decode idx bytes: images ``(n, 28, 28, 1)`` or labels ``(n,)``, uint8.

    The format: a big-endian magic number, 0x803 for images and 0x801 for labels, a
    big-endian size for each dimension, then the bytes
    (http://yann.lecun.com/exdb/mnist).

    Raises:
        DataError: the magic number, the shape or the length is not the expected one.
    """
    _check_name(name)
    images = "images" in name
    magic, header = (0x803, 16) if images else (0x801, 8)
    size = _FACTS["bytes"][name]
    shape = ((size - header) // 784, 28, 28) if images else (size - header,)
    if len(data) < header:
        raise _fault(source, f"{len(data)} bytes", f"{size} bytes")
    found_magic, *found_shape = np.frombuffer(data, ">u4", count=header // 4).tolist()
    if found_magic != magic:
        raise _fault(source, f"magic number {found_magic:#x}", f"{magic:#x} ({name})")
    if tuple(found_shape) != shape:
        raise _fault(source, f"shape {tuple(found_shape)}", f"{shape}")
    if len(data) != size:
        found = f"{len(data)} bytes" if len(data) < size else f"over {size} bytes"
        raise _fault(source, found, f"{size} bytes")
    array = np.frombuffer(data, np.uint8, offset=header)
    return array.reshape(*shape, 1) if images else array


def _check_name(name: str) -> None:
    if name not in FILES:
        raise ValueError(f"name: found {name!r}, expected {', '.join(FILES)}")


def _decompress(raw: bytes, name: str, source: str) -> bytes:
    size = _FACTS["bytes"][name]
    try:
        with gzip.open(BytesIO(raw)) as stream:
            # One byte more than expected shows a longer file, however long it is.
            return stream.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _fault(
            source, f"a damaged gzip file ({error})", f"{size} bytes in it"
        ) from None


def _recognise(
    raw: bytes, data: bytes, array: np.ndarray, name: str, source: str
) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    gz_sha1 = hashlib.sha1(raw).hexdigest()
    for release in _FACTS["releases"]:
        by_content = release["sha256"].get(name) == sha256
        if by_content or release["gz_sha1"].get(name) == gz_sha1:
            return release["id"]
    found = f"unknown content (SHA-256 {sha256[:16]}…)"
    if "labels" in name and len(set(np.bincount(array, minlength=10))) > 1:
        # Fashion-MNIST has equally many images of each class; plain MNIST has not.
        found += " with classes of unequal size, as plain MNIST has"
    raise _fault(source, found, f"{name} of Fashion-MNIST, {' or '.join(URLS)}")


def _fault(source: str, found: str, expected: str) -> DataError:
    return DataError(f"{source}: found {found}, expected {expected}")
