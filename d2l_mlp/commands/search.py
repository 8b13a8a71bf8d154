"""python -m d2l_mlp exercise 4: the search for the best setting."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import _compat, _stop, _threads
from .common import (
    Jobs,
    Root,
    as_text,
    check_output,
    console,
    flag,
    how_to_go_on,
    needing,
    png_of,
    progress_bar,
    run_jobs,
    save,
    whole,
)

if TYPE_CHECKING:
    import optuna

    from ..exercises.outcome import Found
    from ..exercises.space import Space
    from ..exercises.trials import Place


def exercise_4(
    trials: Annotated[int, whole("Settings to try in all.")] = 60,
    regularise: Annotated[
        bool, flag("--regularise", "With dropout and weight decay.")
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
    with needing("search", "the search"):
        from ..exercises.outcome import final_accuracies, make_final_jobs, to_json
        from ..exercises.search_figures import draw
        from ..exercises.space import PLAIN, REGULARISED
        from ..exercises.storage import storage_errors
        from ..exercises.trials import Place
    from ..dataset.fashion_mnist import load_fashion_mnist
    from ..exercises.studies import train
    from ..runs.run import headline
    from ..runs.sweep import alone

    name = "regularised" if regularise else "plain"
    space = REGULARISED if regularise else PLAIN
    output = output or Path(f"output/exercise-4{'-regularised' if regularise else ''}")
    check_output(output)
    release = load_fashion_mnist(root).release
    stands_on = headline("of each trial: its number", release)
    console.print(stands_on)
    place = Place(study or name, output / "search.journal", storage, heartbeat)
    workers = jobs or _threads.count_processors()
    with alone(output / "search"):
        searched = _search(place, space, trials, workers, release, root)
        # Within the lock: what is said is of the trials that are there.
        with storage_errors(place.text):
            found = _tell(searched)
            for figure_name, figure in draw(searched, stands_on).items():
                save(output / f"{figure_name}.png", png_of(figure))
            num_tests = _count_tests(searched, found) if seeds else 0
    if not seeds:
        return
    console.print("the chosen setting on all training images:")
    planned = make_final_jobs(found.chosen, range(seeds), release)
    records = run_jobs(train, planned, output / "final.jsonl", jobs, root)
    accuracies = final_accuracies(records)
    facts = {
        "headline": stands_on,
        "study": place.name,
        "space": name,
        "tests": num_tests,
    }
    contents = to_json(found, accuracies, facts)
    runs = "1 seed" if len(accuracies) == 1 else f"{len(accuracies)} seeds"
    each = ", ".join(f"{value:.4f}" for value in accuracies)
    console.print(f"test accuracy {contents['test_accuracy']} over {runs} ({each})")
    console.print(f"to repeat the first: {found.command}")
    save(output / "search.json", (json.dumps(contents, indent=1) + "\n").encode())


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
    with _stop.hint(partial(how_to_go_on, where)), progress_bar() as progress:
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


def _count_tests(study: optuna.Study, found: Found) -> int:
    """Note that the test set is read for the chosen setting; return for how many."""
    from ..runs.jobs import to_json

    chosen = to_json(found.chosen)
    tested = study.user_attrs.get("tested", [])
    if chosen not in tested:
        tested = [*tested, chosen]
        study.set_user_attr("tested", tested)
    if len(tested) > 1:
        console.print(
            f"the test set is now read for {len(tested)} settings of this search: the "
            "best of several tests is no longer an honest one"
        )
    return len(tested)
