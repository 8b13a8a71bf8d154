"""The end of exercise 4: the chosen setting, trained anew and tested."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import as_text, console, run_jobs, save

if TYPE_CHECKING:
    import optuna

    from ..exercises.outcome import Found


def count_tests(study: optuna.Study, found: Found) -> int:
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


def train_and_test(
    found: Found,
    facts: dict[str, Any],
    seeds: range,
    release: str,
    jobs: int | None,
    root: Path | None,
    output: Path,
) -> None:
    """Train the chosen setting on all images, and read the test set."""
    from .._values import counted
    from ..exercises.outcome import final_accuracies, make_final_jobs, to_json
    from ..exercises.studies import train
    from ..exercises.summary import mean_sd

    console.print("the chosen setting on all training images:")
    planned = make_final_jobs(found.chosen, seeds, release)
    work = partial(train, root=as_text(root))
    records = list(run_jobs(work, planned, output / "final.jsonl", jobs))
    accuracies = final_accuracies(records)
    runs = counted(len(accuracies), "seed")
    each = ", ".join(f"{value:.4f}" for value in accuracies)
    console.print(f"test accuracy {mean_sd(accuracies, 4)} over {runs} ({each})")
    console.print(f"to repeat the first: {found.command}")
    text = json.dumps(to_json(found, accuracies, facts), indent=1) + "\n"
    save(output / "search.json", text.encode())
