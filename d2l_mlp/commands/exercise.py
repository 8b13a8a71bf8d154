"""python -m d2l_mlp exercise 1|2|3|4: the chapter's exercises, answered by runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import _compat
from ..runs.settings import NumEpochs
from .common import (
    Jobs,
    Root,
    check_output,
    console,
    option,
    png_of,
    run_jobs,
    save,
    table_console,
    whole,
)
from .search import exercise_4

app = typer.Typer(no_args_is_help=True, help="Answer one of the chapter's exercises.")


def _add(number: int, what: str) -> None:
    @app.command(str(number), help=f"{what}.")
    def exercise(
        seeds: Annotated[int, whole("Runs of each kind: seeds 0, 1, …")] = 3,
        num_epochs: Annotated[int, option(NumEpochs, "Of each run.")] = 10,
        jobs: Jobs = None,
        root: Root = None,
        output: Annotated[
            Path | None,
            typer.Option(help="For results and figure; output/exercise-N by default."),
        ] = None,
    ) -> None:
        """Run what is missing of the exercise's runs, then print and draw its answer.

        Each run is kept in OUTPUT/results.jsonl as it ends.
        """
        _compat.load_mxnet()
        from ..dataset.fashion_mnist import load_fashion_mnist
        from ..exercises.figures import draw
        from ..exercises.studies import STUDIES, make_jobs, train
        from ..exercises.summary import answer, summarise
        from ..exercises.tables import table
        from ..runs.run import headline

        study, which = STUDIES[number], range(seeds)
        folder = output or Path(f"output/exercise-{number}")
        check_output(folder)
        release = load_fashion_mnist(root).release
        stands_on = headline(f"0 to {seeds - 1}" if seeds > 1 else 0, release)
        console.print(stands_on)
        planned = make_jobs(study, num_epochs, which, release)
        records = run_jobs(train, planned, folder / "results.jsonl", jobs, root)
        rows = summarise(study, records, num_epochs, which)
        table_console().print(table(study, rows))
        for line in answer(study, rows):
            console.print(line)
        save(folder / "figure.png", png_of(draw(study, rows, stands_on)))


_add(1, "Change the number of hidden units, from 16 to 4096")
_add(2, "Add one more hidden layer, and two, and three")
_add(3, "Change the learning rate, from 0.003 to 3")
app.command("4")(exercise_4)
