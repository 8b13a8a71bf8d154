"""python -m d2l_mlp book: the chapter's run beside the numbers that it printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .. import _compat
from ..runs import settings as runs
from .common import Root, check_output, console, flag, option, png_of, progress_bar
from .common import save as save_file
from .keeping import Checkpoint, Resume, check_checkpoint, check_file, keeping, mark

if TYPE_CHECKING:
    from ..book.editions import Edition
    from ..chapter.results import EpochResult
    from ..distributed.workers import Workers
    from ..runs.run import Run

#: How several processes share what they learn.
KVStore = Literal["local", "dist_sync", "dist_async"]


def book(
    num_epochs: Annotated[
        int | None, option(runs.NumEpochs, "10, or 5 with --linear, as in the book.")
    ] = None,
    num_hiddens: Annotated[
        tuple | None,
        option(runs.NumHiddens, "256; 256,128 for two layers."),
    ] = None,
    lr: Annotated[
        float | None,
        option(runs.LearningRate, "0.5, or 0.1 with --linear, as in the book."),
    ] = None,
    batch_size: Annotated[int, option(runs.BatchSize, "Images a batch.")] = 256,
    seed: Annotated[int, option(runs.Seed, "The same seed, the same bits.")] = 0,
    linear: Annotated[bool, flag("--linear", "Softmax regression instead.")] = False,
    gluon: Annotated[bool, flag("--gluon", "The same net by Gluon.")] = False,
    schedule: Annotated[
        runs.Schedule, option(runs.Schedule, "How the learning rate falls in a run.")
    ] = "constant",
    scale: Annotated[
        float, option(runs.Scale, "Standard deviation of the initial weights, or he.")
    ] = 0.01,
    dropout: Annotated[
        float, option(runs.Dropout, "Share of hidden units left out.")
    ] = 0.0,
    wd: Annotated[float, option(runs.WeightDecay, "Weight decay.")] = 0.0,
    fast: Annotated[bool, flag("--fast", "Train a static graph of the net.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File for the trained parameters."),
    ] = None,
    checkpoint: Checkpoint = None,
    resume: Resume = False,
    root: Root = None,
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path(
        "output"
    ),
    kvstore: Annotated[
        KVStore | None,
        option(KVStore, "Learn together, as `launch` has it; local is this process."),
    ] = None,
) -> None:
    """Train as the chapter does, each epoch beside the numbers that it printed."""
    with _compat.hidden_role():
        _compat.load_mxnet()
    from ..book.editions import CHAPTER, LINEAR, load_editions
    from ..dataset.fashion_mnist import load_data_fashion_mnist
    from ..runs.params import save_params
    from ..runs.run import Run

    if linear and num_hiddens:
        raise typer.BadParameter(
            "--linear has no hidden layer: leave --num-hiddens out"
        )
    edition = load_editions()[LINEAR if linear else CHAPTER]
    settings = runs.Settings(
        num_hiddens=num_hiddens or edition.num_hiddens,
        lr=lr or edition.lr,
        batch_size=batch_size,
        num_epochs=num_epochs or len(edition.epochs),
        seed=seed,
        use_gluon=gluon,
        train_metric=edition.train_metric,
        hybridize=fast,
        scale=scale,
        schedule=schedule,
        dropout=dropout,
        wd=wd,
    )
    check_checkpoint(checkpoint, resume)
    with _join(kvstore) as workers:
        # Of several processes one prints, draws, keeps and saves.
        first = workers is None or workers.rank == 0
        console.quiet = not first
        if first:
            check_output(output)
            if save is not None:
                check_file(save, "--save")
        part = (0, 1) if workers is None else workers.part
        data = load_data_fashion_mnist(settings.batch_size, root=root, part=part)
        run = Run(settings, data, workers)
        with keeping(run, checkpoint, resume, writes=first) as epochs:
            results = _show(run, edition, epochs)
        if first:
            _draw(run, results, edition, output)
            if save is not None:
                save_params(run.trained(), save)
                console.print(f"wrote {save}")


def _join(kvstore: KVStore | None) -> AbstractContextManager[Workers | None]:
    """Find the other processes, if any; a server or scheduler does not come back."""
    if kvstore is None and "DMLC_ROLE" not in os.environ:
        return nullcontext()
    from ..distributed.workers import join

    try:
        return join(kvstore)
    except ValueError as error:
        cause = str(error).removeprefix("kvstore: ")
        raise typer.BadParameter(cause, param_hint="--kvstore") from None


def _show(
    run: Run, edition: Edition, epochs: Iterator[EpochResult]
) -> list[EpochResult]:
    """Train, and print each epoch; then where softmax regression ends."""
    from ..runs.run import headline

    stands_on = headline(run.settings.seed, run.train_iter.release)
    # The bits depend on it.
    console.print(f"{stands_on}, OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}")
    console.print(str(run.settings))
    for difference in edition.differences(run.settings):
        console.print(f"not as in the book: {difference}")
    results = []
    for result in _with_bar(epochs, run):
        console.print(f"{edition.beside(result)}{mark(run, result)}")
        results.append(result)
    if run.settings.num_hiddens:
        _train_linear(run)
    return results


def _with_bar(epochs: Iterator[EpochResult], run: Run) -> Iterator[EpochResult]:
    """Yield each epoch, over a progress bar where there is a terminal."""
    with progress_bar() as progress:
        task = progress.add_task("", total=run.settings.num_epochs)
        for result in epochs:
            yield result
            progress.advance(task)


def _train_linear(run: Run) -> None:
    """Print where softmax regression ends, with the book's settings for it."""
    from ..book.editions import LINEAR, load_editions
    from ..runs.run import Run

    edition, asked = load_editions()[LINEAR], run.settings
    settings = runs.Settings(
        num_hiddens=(),
        lr=edition.lr,
        batch_size=asked.batch_size,
        num_epochs=min(asked.num_epochs, len(edition.epochs)),
        seed=asked.seed,
        use_gluon=asked.use_gluon,
        train_metric=edition.train_metric,
        hybridize=asked.hybridize,
    )
    linear = Run(settings, (run.train_iter, run.test_iter), run.workers)
    *_, last = _with_bar(linear.epochs(), linear)
    console.print(f"the linear model, lr {edition.lr}:\n{edition.beside(last)}")


def _draw(run: Run, results: list[EpochResult], edition: Edition, output: Path) -> None:
    """Write the nine test images with their labels, and the curves, as PNG."""
    from ..chapter.plot import plot_curves, plot_predictions
    from ..dataset.fashion_mnist import get_fashion_mnist_labels
    from ..runs.run import headline

    title = f"{run.settings}\n{headline(run.settings.seed, run.train_iter.release)}"
    images, *labels = run.predict(9)
    figures = {
        "predictions.png": plot_predictions(
            images, *map(get_fashion_mnist_labels, labels)
        ),
        "curves.png": plot_curves(results, edition.epochs, title),
    }
    for name, figure in figures.items():
        save_file(output / name, png_of(figure, dpi=120, bbox_inches="tight"))
