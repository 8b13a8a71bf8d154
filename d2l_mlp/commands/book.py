"""python -m d2l_mlp book: the chapter's run beside the numbers that it printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import _compat
from .common import Root, check_file, check_output, console, progress_bar, save_figure
from .keeping import Checkpoint, Resume, check_checkpoint, keeping, mark
from .options import (
    KVStore,
    Schedule,
    parse_dropout,
    parse_hiddens,
    parse_lr,
    parse_scale,
    parse_wd,
    whole,
)

if TYPE_CHECKING:
    from ..book.editions import Edition
    from ..chapter.results import EpochResult
    from ..distributed.workers import Workers
    from ..runs.run import Run


def book(
    num_epochs: Annotated[
        int | None, whole("10, or 5 with --linear, as in the book.")
    ] = None,
    num_hiddens: Annotated[
        tuple | None,
        typer.Option(
            parser=parse_hiddens, metavar="UNITS", help="256; 256,128 for two layers."
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            parser=parse_lr, help="0.5, or 0.1 with --linear, as in the book."
        ),
    ] = None,
    batch_size: Annotated[int, whole("Images a batch.")] = 256,
    seed: Annotated[
        int, whole("The same seed, the same bits.", least=0, most=2**31 - 1)
    ] = 0,
    linear: Annotated[
        bool, typer.Option("--linear", help="Softmax regression in its place.")
    ] = False,
    gluon: Annotated[
        bool, typer.Option("--gluon", help="The same net by Gluon.")
    ] = False,
    schedule: Annotated[
        Schedule, typer.Option(help="How the learning rate falls over the run.")
    ] = Schedule.CONSTANT,
    scale: Annotated[
        float,
        typer.Option(
            parser=parse_scale, help="Standard deviation of the first weights, or he."
        ),
    ] = 0.01,
    dropout: Annotated[
        float,
        typer.Option(parser=parse_dropout, help="Share of hidden units left out."),
    ] = 0.0,
    wd: Annotated[float, typer.Option(parser=parse_wd, help="Weight decay.")] = 0.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Train a static graph of the net.")
    ] = False,
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
        typer.Option(help="Learn together, as `launch` has it; local is this process."),
    ] = None,
) -> None:
    """Train as the chapter does, each epoch beside the numbers that it printed."""
    with _compat.hidden_role():
        _compat.load_mxnet()
    from ..book.editions import CHAPTER, LINEAR, load_editions
    from ..dataset.fashion_mnist import load_data_fashion_mnist
    from ..runs.params import save_params
    from ..runs.run import Run, Settings

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
        scale=scale,
        schedule=schedule.value,
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
        return join(kvstore and kvstore.value)
    except ValueError as error:
        cause = str(error).removeprefix("kvstore: ")
        raise typer.BadParameter(cause, param_hint="--kvstore") from None


def _show(
    run: Run, edition: Edition, epochs: Iterator[EpochResult]
) -> list[EpochResult]:
    """Train, and print each epoch; then where softmax regression ends."""
    from ..runs.run import headline

    settings = run.settings
    # The bits hang on it.
    threads = os.environ["OMP_NUM_THREADS"]
    stands_on = headline(settings.seed, run.train_iter.release)
    console.print(f"{stands_on}, OMP_NUM_THREADS={threads}")
    console.print(str(settings))
    for difference in edition.differences(settings):
        console.print(f"not as in the book: {difference}")
    results = _train(run, edition, epochs)
    if settings.num_hiddens:
        _train_linear(run)
    return results


def _train(
    run: Run, edition: Edition, epochs: Iterator[EpochResult], quiet: bool = False
) -> list[EpochResult]:
    """Print each epoch as it comes, over a progress bar where there is a terminal."""
    results: list[EpochResult] = []
    with progress_bar() as progress:
        task = progress.add_task("", total=run.settings.num_epochs)
        for result in epochs:
            if not quiet:
                console.print(f"{edition.beside(result)}{mark(run, result)}")
            progress.advance(task)
            results.append(result)
    return results


def _train_linear(run: Run) -> None:
    """Print where softmax regression ends, with the book's settings for it."""
    from dataclasses import replace

    from ..book.editions import LINEAR, load_editions
    from ..runs.run import Run, Settings

    edition = load_editions()[LINEAR]
    linear = replace(
        run.settings,
        num_hiddens=(),
        lr=edition.lr,
        num_epochs=min(run.settings.num_epochs, len(edition.epochs)),
        train_metric=edition.train_metric,
        scale=Settings.scale,
        schedule=Settings.schedule,
        dropout=Settings.dropout,
        wd=Settings.wd,
    )
    data = (run.train_iter, run.test_iter)
    run = Run(linear, data, run.team)
    last = _train(run, edition, run.epochs(), quiet=True)[-1]
    console.print(f"the linear model, lr {edition.lr}:\n{edition.beside(last)}")


def _draw(run: Run, results: list[EpochResult], edition: Edition, output: Path) -> None:
    """Write the nine test images with their labels, and the curves, as PNG."""
    from ..chapter import plot as plotting
    from ..dataset.fashion_mnist import get_fashion_mnist_labels
    from ..runs.run import headline

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
        save_figure(figure, output / name, dpi=120, bbox_inches="tight")
