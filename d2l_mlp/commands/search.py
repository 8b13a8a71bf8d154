"""python -m d2l_mlp exercise 4: the search for the best setting."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import _compat
from .common import (
    Jobs,
    Root,
    as_text,
    check_output,
    console,
    progress_bar,
    run_jobs,
    save,
    save_figure,
)
from .options import whole

if TYPE_CHECKING:
    import optuna

    from ..exercises.outcome import Found
    from ..exercises.space import Space
    from ..exercises.trials import Place


def exercise_4(
    trials: Annotated[
        int,
        typer.Option(
            parser=whole(1), metavar="<integer>", help="Settings to try in all."
        ),
    ] = 60,
    regularise: Annotated[
        bool, typer.Option("--regularise", help="With dropout and weight decay.")
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(
            parser=whole(0),
            metavar="<integer>",
            help="Final runs of the chosen setting; 0 for none.",
        ),
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
        int,
        typer.Option(
            parser=whole(1),
            metavar="<integer>",
            help="Seconds between signs of life to a database.",
        ),
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
        from ..exercises.storage import told
        from ..exercises.trials import Place
    except ModuleNotFoundError as error:
        raise ImportError(
            f"the search needs the package {error.name}, which is not installed: "
            "pip install 'd2l_mlp[search]', or make clean setup"
        ) from None
    from ..data import load_fashion_mnist
    from ..run import headline
    from ..sweep import alone

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
        with told(place.text):
            found = _tell(study_found)
            for figure_name, figure in draw(study_found, stands_on).items():
                save_figure(figure, output / f"{figure_name}.png")
            if seeds:
                facts = {
                    "headline": stands_on,
                    "study": place.name,
                    "space": name,
                    "tests": _count_tests(study_found, found),
                }
    if seeds:
        _test(found, facts, range(seeds), release, jobs, root, output)


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
    try:
        with progress_bar() as progress:
            task = progress.add_task("", total=num_trials, completed=done)
            for trial in search(
                place, space, num_trials, workers, release, as_text(root)
            ):
                console.print(describe(trial))
                progress.advance(task)
    except KeyboardInterrupt:
        where = place.path if place.url is None else "the database"
        raise KeyboardInterrupt(
            f"what ended is kept in {where}, the same command goes on there"
        ) from None
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
    from ..jobs import to_json

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


def _test(
    found: Found,
    facts: dict[str, Any],
    seeds: range,
    release: str,
    jobs: int | None,
    root: Path | None,
    output: Path,
) -> None:
    """Train the chosen setting on all images, and read the test set."""
    from ..exercises.outcome import (
        final_accuracies,
        make_final_jobs,
        to_json,
    )
    from ..exercises.studies import train
    from ..exercises.summary import mean_sd

    console.print("the chosen setting on all training images:")
    planned = make_final_jobs(found.chosen, seeds, release)
    work = partial(train, root=as_text(root))
    records = list(run_jobs(work, planned, output / "final.jsonl", jobs))
    accuracies = final_accuracies(records)
    console.print(
        f"test accuracy {mean_sd(accuracies, 4)} over {len(accuracies)} seeds "
        f"({', '.join(f'{value:.4f}' for value in accuracies)})"
    )
    console.print(f"to repeat the first: {found.command}")
    text = json.dumps(to_json(found, accuracies, facts), indent=1) + "\n"
    save(output / "search.json", text.encode())
