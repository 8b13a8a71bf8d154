"""python -m d2l_mlp exercise 4: the search for the best setting."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import _compat, _stop
from .common import (
    Jobs,
    Root,
    as_text,
    check_output,
    console,
    how_to_go_on,
    progress_bar,
    save_figure,
)
from .final import count_tests, train_and_test
from .options import whole

if TYPE_CHECKING:
    import optuna

    from ..exercises.outcome import Found
    from ..exercises.space import Space
    from ..exercises.trials import Place


def exercise_4(
    trials: Annotated[int, whole("Settings to try in all.")] = 60,
    regularise: Annotated[
        bool, typer.Option("--regularise", help="With dropout and weight decay.")
    ] = False,
    seeds: Annotated[
        int, whole("Final runs of the chosen setting; 0 for none.", least=0)
    ] = 5,
    jobs: Jobs = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Database for several machines, postgresql://USER@HOST/NAME."
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Name of the search in its storage.")
    ] = None,
    heartbeat: Annotated[
        int, whole("Seconds between signs of life to a database.")
    ] = 10,
    root: Root = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder; output/exercise-4, or -regularised, by default."),
    ] = None,
) -> None:
    """Search for the best setting, on images held out of the training set.

    The test set is read once, at the end, for the chosen setting trained on all
    training images. Trials are kept as they end; the same command goes on.
    """
    _compat.load_mxnet()
    try:
        from ..exercises.search_figures import draw
        from ..exercises.space import PLAIN, REGULARISED
        from ..exercises.storage import storage_errors
        from ..exercises.trials import Place
    except ModuleNotFoundError as error:
        raise ImportError(
            f"the search needs the package {error.name}, which is not installed: "
            "pip install 'd2l_mlp[search]', or make clean setup"
        ) from None
    from ..dataset.fashion_mnist import load_fashion_mnist
    from ..runs.run import headline
    from ..runs.sweep import alone

    name = "regularised" if regularise else "plain"
    suffix = "-regularised" if regularise else ""
    output = output or Path(f"output/exercise-4{suffix}")
    check_output(output)
    release = load_fashion_mnist(root).release
    stands_on = headline("of each trial: its number", release)
    console.print(stands_on)
    place = Place(study or name, output / "search.journal", storage, heartbeat)
    workers = jobs or _compat.count_processors()
    with alone(output / "search"):
        space = REGULARISED if regularise else PLAIN
        study_found = _search(place, space, trials, workers, release, root)
        # Told within the lock: what is said is of the trials that are there.
        with storage_errors(place.text):
            found = _tell(study_found)
            for figure_name, figure in draw(study_found, stands_on).items():
                save_figure(figure, output / f"{figure_name}.png")
            if seeds:
                facts = {
                    "headline": stands_on,
                    "study": place.name,
                    "space": name,
                    "tests": count_tests(study_found, found),
                }
    if seeds:
        train_and_test(found, facts, range(seeds), release, jobs, root, output)


def _search(
    place: Place,
    space: Space,
    num_trials: int,
    workers: int,
    release: str,
    root: Path | None,
) -> optuna.Study:
    """Print each trial as it ends; on Ctrl-C say where they are."""
    from ..exercises.outcome import describe
    from ..exercises.search import search
    from ..exercises.trials import ENDED, create

    study = create(place, space, release)
    done = len(study.get_trials(states=ENDED))
    console.print(f"{done} of {num_trials} trials have ended; {workers} at a time here")
    where = place.path if place.url is None else "the database"
    words = partial(how_to_go_on, where)
    with _stop.hint(words), progress_bar() as progress:
        task = progress.add_task("", total=num_trials, completed=done)
        for trial in search(place, space, num_trials, workers, release, as_text(root)):
            console.print(describe(trial))
            progress.advance(task)
    return study


def _tell(study: optuna.Study) -> Found:
    from ..exercises.outcome import conclude, describe

    found = conclude(study)
    counts = ", ".join(f"{count} {state}" for state, count in found.states.items())
    console.print(
        f"{sum(found.states.values())} trials ({counts}): {found.minutes:.1f} minutes "
        f"of one processor; {found.span:.1f} minutes from first to last"
    )
    console.print("the best on the held-out images:")
    for trial in found.best:
        console.print(describe(trial))
    return found
