"""Trained parameters in a file, as NumPy's ``.npz``.

save_params(params, "params.npz")
arrays = load_arrays("params.npz")
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mxnet import nd

from .. import _values
from .._checks import layer_shapes, layers, param_names
from .._files import readable, write_whole
from .._npz import Form, Npz


class NoNetError(ValueError):
    """A file does not hold the parameters of a net; the message says what it holds."""


def save_params(params: Sequence[nd.NDArray], path: str | os.PathLike) -> None:
    """Write ``[W1, b1, ...]`` as NumPy's ``.npz``, whole or not at all.

    Raises:
        ValueError: they are not the arrays of a net, or ``path`` is no path.
        OSError: it cannot be written; names the file.
    """
    params, target = layers(params), _values.path("path", path)
    names = param_names(len(params))
    arrays = {n: param.asnumpy() for n, param in zip(names, params, strict=True)}
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(target, content.getbuffer())


def load_arrays(path: str | os.PathLike) -> list[np.ndarray]:
    """Return ``[W1, b1, ...]`` as ``save_params`` wrote them, float32.

    Raises:
        NoNetError: the file holds something else; nothing in it is run.
        OSError: it cannot be read.
    """
    wanted = "W1, b1, … of a net for 784 pixels and 10 classes"
    target = _values.path("path", path)
    try:
        with readable(target, wanted), Npz(target) as file:
            names = _net_names(target, file.forms, wanted)
            arrays = [file.read(name) for name in names]
    except NoNetError:
        raise
    except OSError as error:
        # To go to a place in front of the file is what a damaged one asks for.
        if error.errno != errno.EINVAL:
            raise
        raise NoNetError(f"{path}: found a damaged file, expected {wanted}") from None
    # The readers of zip files raise nearly anything on damaged ones.
    except Exception as error:
        raise NoNetError(
            f"{path}: found no parameters ({error}), expected {wanted}"
        ) from None
    with np.errstate(over="ignore"):
        arrays = [array.astype(np.float32) for array in arrays]
    if not all(np.isfinite(array).all() for array in arrays):
        raise NoNetError(f"{path}: found NaN or infinity in float32, expected {wanted}")
    return arrays


def _net_names(path: Path, forms: dict[str, Form], wanted: str) -> list[str]:
    """Return a net's arrays' names in its order; refuse any others, and other forms."""
    names = list(param_names(len(forms)))
    if not names or len(names) % 2 or set(names) != set(forms):
        found_names = ", ".join(forms)[:200] or "nothing"
        raise NoNetError(f"{path}: found {found_names}, expected {wanted}")
    found = [forms[name].shape for name in names]
    units = [shape[0] if len(shape) == 1 else 0 for shape in found[1::2]]
    expected = layer_shapes(784, units)
    kinds = {forms[name].dtype.kind for name in names}
    if found != expected or units[-1] != 10 or kinds != {"f"}:
        of = "" if kinds == {"f"} else f" of {', '.join(sorted(kinds))}"
        raise NoNetError(f"{path}: found shapes {found}{of}, expected {wanted}")
    return names
