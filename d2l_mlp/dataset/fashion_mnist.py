"""Fashion-MNIST: find it, and load it into memory."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
from mxnet import nd

from .._values import instance, path, sequence, whole_number
from .download import fetch
from .loader import BatchLoader as BatchLoader
from .releases import (
    DEBIAN_FOLDER,
    FILES,
    URLS,
    DataError,
    DataFile,
    default_root,
    is_whole,
    read_folder,
    release_ids,
)

TEXT_LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class FashionMNIST:
    """Both splits in memory.

    Attributes:
        train_images, test_images: uint8 ``(60000, 28, 28, 1)``, ``(10000, 28, 28, 1)``.
        train_labels, test_labels: int32 ``(60000,)``, ``(10000,)``, in 0..9.
        release: the published release that the files belong to.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    release: str


def load_data_fashion_mnist(
    batch_size: int,
    resize: int | tuple[int, int] | None = None,
    root: str | os.PathLike | None = None,
    *,
    part: tuple[int, int] = (0, 1),
) -> tuple[BatchLoader, BatchLoader]:
    """Return the training and the test iterator of Fashion-MNIST.

    Args:
        batch_size: images a batch.
        resize: side in pixels, or ``(width, height)``, to scale the images to.
        root: folder of the data files; Gluon's own by default. See ``find_release``.
        part: this worker's share of each batch, see ``BatchLoader``.

    Raises:
        DataError: the data cannot be found, fetched or trusted.
        ValueError: ``batch_size`` or ``resize`` is not a whole number above 0, or a
            batch has fewer images than ``part`` has workers.
    """
    whole_number("batch_size", batch_size)
    return make_loaders(load_fashion_mnist(root), batch_size, resize, part)


def make_loaders(
    data: FashionMNIST,
    batch_size: int,
    resize: int | tuple[int, int] | None = None,
    part: tuple[int, int] = (0, 1),
) -> tuple[BatchLoader, BatchLoader]:
    """Return the training and the test iterator of ``data``."""
    instance("data", data, FashionMNIST)
    options = (resize, data.release, part)
    return (
        BatchLoader(data.train_images, data.train_labels, batch_size, True, *options),
        BatchLoader(data.test_images, data.test_labels, batch_size, False, *options),
    )


def load_fashion_mnist(
    root: str | os.PathLike | None = None, release: str | None = None
) -> FashionMNIST:
    """Find, verify and load both splits as arrays. See ``find_release``."""
    files = find_release(root, release)
    train_images, train_labels, test_images, test_labels = (
        files[name].array for name in FILES
    )
    return FashionMNIST(
        train_images,
        train_labels.astype(np.int32),
        test_images,
        test_labels.astype(np.int32),
        files[FILES[0]].release,
    )


def find_release(
    root: str | os.PathLike | None = None, release: str | None = None
) -> dict[str, DataFile]:
    """Return the four verified files of one release, by name.

    Looks into ``root`` (Gluon's own folder by default), then into the folder of
    Debian's package ``dataset-fashion-mnist``; then downloads into ``root`` from
    MXNet's mirror (``MXNET_GLUON_REPO`` names another) or Zalando's servers. Warns of a
    damaged file, and replaces it when it downloads.

    Args:
        root: the folder.
        release: accept only this one, for instance ``"2017-08-26"``; it is also looked
            for in, and downloaded into, a folder of its name below ``root``.

    Raises:
        DataError: no folder and no server has one whole release; lists each finding.
        ValueError: there is no such ``release``.
    """
    if release is not None and release not in list(URLS):
        raise ValueError(f"release: found {release!r}, expected {' or '.join(URLS)}")
    own_root = default_root() if root is None else path("root", root).expanduser()
    folders = [own_root] if release is None else [own_root, own_root / release]
    problems: list[str] = []
    for folder in (*folders, DEBIAN_FOLDER):
        found, faults = read_folder(folder)
        if is_whole(found, release):
            if root is not None and folder not in folders:
                warnings.warn(f"{problems[0]}; using {folder}", stacklevel=2)
            return found
        for fault in faults:
            warnings.warn(f"damaged data file: {fault}", stacklevel=2)
        of = f", of {' and '.join(release_ids(found))}" if found else ""
        problems += faults or [f"{folder}: found {len(found)} of the four files{of}"]
    try:
        return fetch(folders[-1], release)
    except DataError as error:
        problems.append(str(error))
    listed = "\n  ".join(problems)
    which, advice = f"Fashion-MNIST of {release}", "You may"
    if release is None:
        which = "Fashion-MNIST"
        advice = "Install it (sudo apt-get install dataset-fashion-mnist), or"
    raise DataError(
        f"{which} was neither found nor downloaded:\n  {listed}\n{advice} put its four "
        f".gz files into {folders[-1]}, or give their folder as root (--root)."
    )


def get_fashion_mnist_labels(labels: np.ndarray | nd.NDArray | list[int]) -> list[str]:
    """Return the text of each label: 0 is ``"t-shirt"``, 9 is ``"ankle boot"``.

    Raises:
        ValueError: a label outside 0..9.
    """
    found = labels.asnumpy() if isinstance(labels, nd.NDArray) else labels
    if isinstance(found, np.ndarray) and found.ndim != 1:
        raise ValueError(f"labels: found shape {found.shape}, expected (n,)")
    numbers = sequence("labels", found, "numbers from 0 to 9")
    for number in numbers:
        if number not in range(len(TEXT_LABELS)):
            raise ValueError(f"labels: found {number}, expected 0 to 9")
    return [TEXT_LABELS[int(number)] for number in numbers]
