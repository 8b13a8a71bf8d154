"""python -m d2l_mlp predict: what a trained net makes of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import _compat
from .common import console, whole


def predict(
    images: Annotated[list[Path], typer.Argument(help="Photos or drawings.")],
    params: Annotated[
        Path, typer.Option(help="Parameters, as book --save writes them.")
    ],
    top: Annotated[int, whole("Classes to print.", least=1, most=10)] = 3,
) -> None:
    """Print the most probable classes of each picture.

    A picture is brought to 28×28, light on dark, as the training images are.
    """
    _compat.load_mxnet()
    import numpy as np

    from ..chapter.model import predict as probabilities_of
    from ..dataset.fashion_mnist import TEXT_LABELS
    from ..dataset.photo import to_image
    from ..runs.params import load_arrays

    arrays = load_arrays(params)
    failed = False
    for path in images:
        try:
            probabilities = probabilities_of(to_image(path.read_bytes()), arrays)
        except (OSError, ValueError) as error:
            # The other pictures are none the worse for it.
            cause = error.strerror if isinstance(error, OSError) else None
            console.print(f"{path}: {cause or error}")
            failed = True
            continue
        best = np.argsort(-probabilities)[:top]
        texts = [f"{TEXT_LABELS[i]} {probabilities[i]:.1%}" for i in best]
        console.print(f"{path}: {', '.join(texts)}")
    if failed:
        raise typer.Exit(1)
