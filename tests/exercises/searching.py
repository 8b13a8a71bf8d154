"""A small search, for tests: its space, its process, and what must hold of its end."""

import os
import subprocess
import sys
from pathlib import Path

from d2l_mlp.dataset.splits import hold_out
from d2l_mlp.exercises.space import Space
from d2l_mlp.runs import jobs
from d2l_mlp.runs.run import Run, Settings

from optuna.trial import TrialState

RELEASE = "2017-08-31"
SMALL = Space(
    num_epochs=(10,),
    lr=(0.1, 0.5),
    num_layers=2,
    units=(8, 16),
    batch_size=(512,),
    scale=("he",),
)

SCRIPT = """
import sys
from pathlib import Path
from d2l_mlp.exercises.search import search
from d2l_mlp.exercises.trials import Place
from searching import RELEASE, SMALL
if __name__ == "__main__":
    _, name, path, url, trials = sys.argv
    place = Place(name, Path(path), url or None, heartbeat=1)
    for trial in search(place, SMALL, int(trials), 2, RELEASE):
        print(trial.number, flush=True)
"""


def accuracies(job, release):
    """Return the accuracy after each epoch of a trial's run that nothing stopped."""
    settings = Settings(**job)
    run = Run(settings, hold_out(jobs.load(None, release), settings.batch_size))
    return [result.test_accuracy for result in run.epochs()]


def check_whole(study, least):
    """Each setting that was begun has ended exactly once, or died too often.

    Returns the numbers of the trials that were lost and tried again.
    """
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    states = [trial.state for trial in trials]
    assert TrialState.RUNNING not in states and TrialState.WAITING not in states
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(ended) >= least
    lost = [t.number for t in trials if t.state == TrialState.FAIL]
    retried = [t.system_attrs["retry_history"][-1] for t in trials if _is_retry(t)]
    assert sorted(retried) == lost, "each lost trial was queued anew, once"
    for trial in filter(_is_retry, trials):
        first = trials[trial.system_attrs["failed_trial"]]
        assert first.params == {name: trial.params[name] for name in first.params}, (
            "the same setting"
        )
    return lost


def _is_retry(trial):
    return "failed_trial" in trial.system_attrs


def start(tmp_path, place, trials=6):
    """Return a process of its own that searches, and prints each trial's number."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, script, place.name, place.path, place.url or "", str(trials)],
        env=env, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
