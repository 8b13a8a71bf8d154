"""A run that goes on where it was stopped, and ends with the same bits.

for result in kept_epochs(Run(settings), Path("checkpoints"), resume=True):
    print(result)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mxnet
import numpy as np
from mxnet import gluon

from .. import __version__, _values
from ..chapter.results import EpochResult
from .checkpoint import Checkpoint, CheckpointError, Optimizer, Shuffling
from .checkpoint_folder import Folder
from .run import Run


def kept_epochs(
    run: Run,
    path: Path,
    resume: bool = False,
) -> Iterator[EpochResult]:
    """Train, keep a checkpoint after each epoch and yield its result.

    Args:
        run: the run, its epochs not yet begun.
        path: the folder of the checkpoints, which is made, and locked until the end.
        resume: go on after the newest checkpoint that is whole. The results of the
            epochs up to it come first, and are then in ``run.earlier``.

    Raises:
        CheckpointError: ``path`` has checkpoints, and ``resume`` is not set; or it is
            set, and none is whole and of this run; one cannot be written; or another
            process uses the folder.
        OSError: ``path`` cannot be made or read.
    """
    _values.instance("run", run, Run)
    with Folder(path) as folder:
        if resume:
            restore(run, folder.newest(), path)
        elif found := folder.paths():
            raise CheckpointError(
                f"{path}: found that of epoch {max(found)}, expected no checkpoints: "
                "go on from it with --resume, or name another folder"
            )
        results = list(run.earlier)
        yield from results
        for result in run.epochs():
            results.append(result)
            folder.keep(take(run, results))
            yield result


def resumed_epochs(run: Run, path: Path) -> Iterator[EpochResult]:
    """Resume ``run`` as ``kept_epochs`` does, and keep nothing.

    For the other processes of a run that one process keeps. That one has the folder
    locked. It writes only after all have ended an epoch together.

    Raises:
        CheckpointError: as ``kept_epochs``.
    """
    _values.instance("run", run, Run)
    restore(run, Folder(path).newest(), path)
    yield from run.earlier
    yield from run.epochs()


def take(run: Run, results: list[EpochResult]) -> Checkpoint:
    """Return how ``run`` stands after ``results``, between two epochs.

    Raises:
        CheckpointError: its trainer's optimizer has states of its own.
    """
    if not _values.sequence("results", results, "epochs"):
        raise CheckpointError("results: found none, expected at least one epoch")
    params = [param.asnumpy() for param in run.trained()]
    optimizer = None
    if run.trainer is not None:
        _check_plain(run.trainer, run)
        optimizer = Optimizer(
            num_update=run.trainer.optimizer.num_update,
            learning_rate=run.trainer.learning_rate,
        )
    return Checkpoint(made_of(run), params, results, Shuffling.now(), optimizer)


def restore(run: Run, checkpoint: Checkpoint, path: Path) -> None:
    """Have ``run`` go on from ``checkpoint``; call ``run.epochs`` next.

    Args:
        run: the run, its epochs not yet begun.
        checkpoint: of a run of the same settings, data and versions.
        path: its folder, for the error.

    Raises:
        CheckpointError: it is of another run; names each difference.
    """
    _values.instance("checkpoint", checkpoint, Checkpoint)
    _check(run, checkpoint, path)
    if (run.trainer is None) != (checkpoint.optimizer is None):
        raise CheckpointError(f"{path}: found no whole optimizer in the checkpoint")
    try:
        run.load(checkpoint.params)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if run.trainer is not None and checkpoint.optimizer is not None:
        _check_plain(run.trainer, run)
        optimizer = run.trainer.optimizer
        optimizer.num_update = checkpoint.optimizer.num_update
        # Where its count of each parameter's updates begins.
        optimizer.begin_num_update = checkpoint.optimizer.num_update
        if optimizer.lr_scheduler is None:
            run.trainer.set_learning_rate(checkpoint.optimizer.learning_rate)
    run.earlier = checkpoint.results
    # Drawing the epochs' orders again from the seed would not do: a test pass may
    # shuffle too, and another run may have seeded the generator since this one did.
    checkpoint.shuffling.restore()


def _check(run: Run, checkpoint: Checkpoint, path: Path) -> None:
    """Refuse a checkpoint of another run."""
    found, expected = checkpoint.made_of, made_of(run)
    differences = [
        f"{name} {found.get(name)} (asked for: {expected.get(name)})"
        for name in {**expected, **found}
        if found.get(name) != expected.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"{path}: found a checkpoint of another run, of {', '.join(differences)}: "
            "ask for the same, or start anew in another folder"
        )


def made_of(run: Run) -> dict[str, Any]:
    """Return what must be the same for the same bits, JSON by name.

    The processor is not among it: of the same kind it gives the same bits, and which
    are of a kind only trying tells.
    """
    labels = [data.labels for data in (run.train_iter, run.test_iter)]
    facts = asdict(run.settings) | {
        "release": run.train_iter.release,
        "images": [len(part) for part in labels],
        "workers": run.train_iter.part[1],
        "resize": run.train_iter.resize,
        # Tells a random split from another.
        "labels": hashlib.sha256(np.concatenate(labels).tobytes()).hexdigest()[:16],
        "d2l_mlp": __version__,
        "mxnet": mxnet.__version__,
        "numpy": np.__version__,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE"),
    }
    return json.loads(json.dumps(facts))


def _check_plain(trainer: gluon.Trainer, run: Run) -> None:
    """Refuse momentum and the like, which Gluon keeps in pickles alone."""
    for i, param in enumerate(run.trained()):
        if trainer.optimizer.create_state(i, param) is not None:
            raise CheckpointError(
                f"optimizer: found {type(trainer.optimizer).__name__} with states of "
                "its own, expected plain SGD, which has none: train without momentum, "
                "or without checkpoints"
            )
