"""python -m d2l_mlp book: the chapter's run beside the numbers that it printed."""

from __future__ import annotations

import enum
import math
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import _compat
from .common import Root, check_output, console, progress_bar

if TYPE_CHECKING:
    from ..book import Edition
    from ..distributed import Workers
    from ..run import Run, Settings
    from ..training import EpochResult

# A wider layer would take more than 3 GB for its weights and their gradient.
MOST_HIDDENS = 500_000


class KVStore(str, enum.Enum):
    """How several processes share what they learn."""

    LOCAL = "local"
    DIST_SYNC = "dist_sync"
    DIST_ASYNC = "dist_async"


def _parse_hiddens(text: str) -> tuple[int, ...]:
    try:
        hiddens = tuple(int(part) for part in text.split(","))
    except ValueError:
        hiddens = ()
    if not hiddens or min(hiddens) < 1 or max(hiddens) > MOST_HIDDENS:
        raise typer.BadParameter(
            f"found {text!r}, expected whole numbers from 1 to {MOST_HIDDENS}, "
            "such as 256 or 256,128"
        )
    return hiddens


def _parse_lr(text: str) -> float:
    try:
        lr = float(text)
    except ValueError:
        lr = math.nan
    if not (lr > 0 and math.isfinite(lr)):
        raise typer.BadParameter(f"found {text!r}, expected a finite number above 0")
    return lr


def book(
    num_epochs: Annotated[
        int | None, typer.Option(min=1, help="10, or 5 with --linear, as in the book.")
    ] = None,
    num_hiddens: Annotated[
        tuple | None,
        typer.Option(
            parser=_parse_hiddens, metavar="UNITS", help="256; 256,128 for two layers."
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            parser=_parse_lr, help="0.5, or 0.1 with --linear, as in the book."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 256,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="The same seed, the same bits.")
    ] = 0,
    linear: Annotated[
        bool, typer.Option("--linear", help="Softmax regression in its place.")
    ] = False,
    gluon: Annotated[
        bool, typer.Option("--gluon", help="The same net by Gluon.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Train a static graph of the net.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File for the trained parameters (.npz)."),
    ] = None,
    root: Root = None,
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path(
        "output"
    ),
    kvstore: Annotated[
        KVStore | None,
        typer.Option(help="Learn together, as `launch` has it; local is this process."),
    ] = None,
) -> None:
    """Train as the chapter does, each epoch beside the numbers that it printed."""
    with _compat.hidden_role():
        _compat.load_mxnet()
    from ..book import CHAPTER, LINEAR, load_editions
    from ..run import Settings

    if linear and num_hiddens:
        raise typer.BadParameter(
            "--linear has no hidden layer: leave --num-hiddens out"
        )
    edition = load_editions()[LINEAR if linear else CHAPTER]
    settings = Settings(
        num_hiddens=num_hiddens or edition.num_hiddens,
        lr=lr or edition.lr,
        batch_size=batch_size,
        num_epochs=num_epochs or len(edition.epochs),
        seed=seed,
        use_gluon=gluon,
        train_metric=edition.train_metric,
        hybridize=fast,
    )
    with _join(kvstore) as workers:
        # Of several processes one prints, draws and saves.
        first = workers is None or workers.rank == 0
        console.quiet = not first
        if first:
            check_output(output)
            if save is not None:
                check_output(save.parent, "--save")
        _train_and_draw(settings, edition, workers, root, output, save, first)


def _join(kvstore: KVStore | None) -> AbstractContextManager[Workers | None]:
    """Find the other processes, if any; a server or scheduler does not come back."""
    if kvstore is None and "DMLC_ROLE" not in os.environ:
        return nullcontext()
    from ..distributed import join

    try:
        return join(kvstore and kvstore.value)
    except ValueError as error:
        cause = str(error).removeprefix("kvstore: ")
        raise typer.BadParameter(cause, param_hint="--kvstore") from None


def _train_and_draw(
    settings: Settings,
    edition: Edition,
    workers: Workers | None,
    root: Path | None,
    output: Path,
    save: Path | None,
    first: bool,
) -> None:
    from ..data import load_data_fashion_mnist
    from ..models import save_params
    from ..run import Run, headline

    part = (0, 1) if workers is None else workers.part
    data = load_data_fashion_mnist(settings.batch_size, root=root, part=part)
    run = Run(settings, data)
    console.print(headline(settings.seed, data[0].release))
    console.print(str(settings))
    for difference in edition.differences(settings):
        console.print(f"not as in the book: {difference}")
    results = _train(run, edition, workers)
    if settings.num_hiddens:
        _train_linear(run, workers)
    if first:
        _draw(run, results, edition, output)
        if save is not None:
            save_params(run.trained(), save)
            console.print(f"wrote {save}")


def _train(
    run: Run, edition: Edition, workers: Workers | None, quiet: bool = False
) -> list[EpochResult]:
    """Print each epoch as it comes, over a progress bar where there is a terminal."""
    results: list[EpochResult] = []
    with progress_bar() as progress:
        task = progress.add_task("", total=run.settings.num_epochs)
        for result in workers.epochs(run) if workers else run.epochs():
            if not quiet:
                console.print(edition.beside(result))
            progress.advance(task)
            results.append(result)
    return results


def _train_linear(run: Run, workers: Workers | None) -> None:
    """Print where softmax regression ends, with the book's settings for it."""
    from dataclasses import replace

    from ..book import LINEAR, load_editions
    from ..run import Run

    edition = load_editions()[LINEAR]
    linear = replace(
        run.settings,
        num_hiddens=(),
        lr=edition.lr,
        num_epochs=min(run.settings.num_epochs, len(edition.epochs)),
        train_metric=edition.train_metric,
    )
    data = (run.train_iter, run.test_iter)
    last = _train(Run(linear, data), edition, workers, quiet=True)[-1]
    console.print(f"the linear model, lr {edition.lr}:\n{edition.beside(last)}")


def _draw(run: Run, results: list[EpochResult], edition: Edition, output: Path) -> None:
    """Write the nine test images with their labels, and the curves, as PNG."""
    from .. import plotting
    from ..data import get_fashion_mnist_labels
    from ..run import headline

    title = f"{run.settings}\n{headline(run.settings.seed, run.train_iter.release)}"
    images, labels, predicted = run.predict(9)
    figures = {
        "predictions.png": plotting.plot_predictions(
            images,
            get_fashion_mnist_labels(labels),
            get_fashion_mnist_labels(predicted),
        ),
        "curves.png": plotting.plot_curves(results, edition.epochs, title),
    }
    for name, figure in figures.items():
        figure.savefig(output / name, dpi=120, bbox_inches="tight")
        console.print(f"wrote {output / name}")
