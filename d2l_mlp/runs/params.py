"""Trained parameters in a file, as safetensors.

save_params(params, "params.safetensors")
arrays = load_arrays("params.safetensors")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from mxnet import nd

from .. import _values
from .._checks import layer_shapes, layers, param_names
from .._files import readable, write_whole

_WANTED = "W1, b1, … of a net for 784 pixels and 10 classes"


class NoNetError(ValueError):
    """A file does not hold the parameters of a net; the message says what it holds."""


def save_params(params: Sequence[nd.NDArray], path: str | os.PathLike) -> None:
    """Write ``[W1, b1, ...]`` as safetensors, whole or not at all.

    Raises:
        ValueError: they are not the arrays of a net, or ``path`` is no path.
        OSError: the file cannot be written.
    """
    params, target = layers(params), _values.path("path", path)
    names = param_names(len(params))
    # safetensors writes memory as it lies, and would mix up a transposed array's.
    arrays = {
        name: np.ascontiguousarray(param.asnumpy(), np.float32)
        for name, param in zip(names, params, strict=True)
    }
    write_whole(target, safetensors.numpy.save(arrays))


def load_arrays(path: str | os.PathLike) -> list[np.ndarray]:
    """Return ``[W1, b1, ...]`` as ``save_params`` wrote them, float32.

    Raises:
        NoNetError: the file holds something else. No code in a file is ever run.
        OSError: it cannot be read.
    """
    target = _values.path("path", path)
    with readable(target, _WANTED), target.open("rb") as file:
        if file.read(2) == b"PK":
            raise NoNetError(
                f"{path}: found a zip file, as earlier versions kept parameters in, "
                "expected safetensors: make it anew with book --save"
            )
    try:
        with safetensors.safe_open(target, framework="numpy") as content:
            names = _net_names(target, content)
            arrays = [content.get_tensor(name) for name in names]
    except (safetensors.SafetensorError, OSError) as error:
        raise NoNetError(
            f"{path}: found no safetensors file ({error}), expected {_WANTED}"
        ) from None
    if not all(np.isfinite(array).all() for array in arrays):
        raise NoNetError(f"{path}: found NaN or infinity, expected {_WANTED}")
    return arrays


def _net_names(path: Path, content: safetensors.safe_open) -> list[str]:
    """Return the names of a net's arrays in its order, before any array is read."""
    names = list(param_names(len(content.keys())))
    if not names or len(names) % 2 or set(names) != set(content.keys()):
        found_names = ", ".join(content.keys())[:200] or "nothing"
        raise NoNetError(f"{path}: found {found_names}, expected {_WANTED}")
    slices = [content.get_slice(name) for name in names]
    found = [tuple(each.get_shape()) for each in slices]
    units = [shape[0] if len(shape) == 1 else 0 for shape in found[1::2]]
    dtypes = {each.get_dtype() for each in slices}
    fits = found == layer_shapes(784, units) and 0 not in units and units[-1] == 10
    if not fits or dtypes != {"F32"}:
        raise NoNetError(
            f"{path}: found shapes {found} of {', '.join(sorted(dtypes))}, expected "
            f"{_WANTED}, float32"
        )
    return names
