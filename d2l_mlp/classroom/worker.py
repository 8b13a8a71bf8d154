"""The run, in a process of its own: iterates the one loop and tells of it.

Everything goes through one connection: commands in, dictionaries out. Each of these
has a ``type``: ``batch``, ``epoch``, ``lr``, ``state``, ``look`` (the parameters, for
pictures and predictions), and at the end ``end`` with its ``reason``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..chapter.results import BatchResult, EpochResult, TrainingDiverged
from ..dataset.fashion_mnist import BatchLoader, load_fashion_mnist, make_loaders
from ..runs.run import Run
from .settings import RunSettings

#: Seconds between two points of a curve, and between two looks at the parameters.
POINT, LOOK = 0.1, 1.0
#: Test images with their predicted label; the gallery's size.
SHOWN, GALLERY = 9, 12

Event = dict[str, Any]


class _Stopped(Exception):
    pass


def work(
    settings: dict[str, Any], paused: bool, root: str | None, connection: Connection
) -> None:
    """Train as ``settings`` (of ``RunSettings``) say; the process's whole life."""
    asked = RunSettings(**settings)
    try:
        data = load_fashion_mnist(root)
        run = Run(asked.to_settings(), make_loaders(data, asked.batch_size))
        Teller(run, asked, paused, connection).tell()
    except _Stopped:
        connection.send({"type": "end", "reason": "stopped"})
    except TrainingDiverged as error:
        connection.send({"type": "end", "reason": "diverged", "message": str(error)})
    except (ConnectionError, EOFError):
        # The server is gone.
        return
    except Exception as error:
        connection.send({"type": "end", "reason": "failed", "message": str(error)})
        raise


class Teller:
    """Tells of a run as it goes, and does as it is told.

    Args:
        run: the run.
        asked: its settings, with the pace.
        paused: wait for a command before the first batch.
        connection: to the server.
    """

    def __init__(
        self, run: Run, asked: RunSettings, paused: bool, connection: Connection
    ) -> None:
        self.run, self.asked, self.connection = run, asked, connection
        self.lr = asked.lr
        self.paused = paused
        self.to_epoch_end = self.to_batch_end = False
        self.updates = 0
        self.losses: list[float] = []
        self.told = self.looked = self.waited = 0.0
        self.epoch = 1
        self.sync: Callable[[], None] = lambda: None
        self.batches = len(run.train_iter)

    def tell(self) -> None:
        """Run to the end."""
        self._look()
        self._obey()
        for result in self.run.epochs(self._on_batch, lambda num_update: self.lr):
            self._tell_batches()
            self.connection.send(self._describe(result))
            self._look()
            self.epoch = result.epoch + 1
            if self.to_epoch_end:
                self.to_epoch_end, self.paused = False, True
            if result.epoch < self.asked.num_epochs:
                # What the parameters are has been shown.
                self.sync = lambda: None
                self._obey()
            self.waited = 0.0
        self.connection.send({"type": "end", "reason": "done"})

    def _on_batch(self, batch: BatchResult) -> None:
        self.updates += 1
        self.losses.append(batch.loss)
        now = time.monotonic()
        if self.to_batch_end:
            self.to_batch_end, self.paused = False, True
        self.epoch, self.sync = batch.epoch, batch.sync
        if now - self.told >= POINT:
            self._tell_batches()
        if now - self.looked >= LOOK:
            self.sync()
            self._look()
        # Waits between epochs are in no epoch's seconds anyway.
        self.waited += self._obey(self.asked.seconds_per_epoch / self.batches)

    def _tell_batches(self) -> None:
        """Send a point: the mean loss of the batches since the last one."""
        if self.losses:
            loss = float(np.mean(self.losses))
            self.connection.send(
                {
                    "type": "batch",
                    "epoch": self.epoch,
                    "x": round(self.updates / self.batches, 4),
                    "loss": round(loss, 4) if np.isfinite(loss) else None,
                }
            )
        self.losses.clear()
        self.told = time.monotonic()

    def _look(self) -> None:
        params = [param.asnumpy() for param in self.run.params]
        self.connection.send({"type": "look", "params": params})
        self.looked = time.monotonic()

    def _describe(self, result: EpochResult) -> Event:
        """Return what an epoch ends with, by how the test images fared."""
        loss, accuracy = result.train_loss, result.train_accuracy
        scores, labels = self._scores()
        # Parameters may overflow in the very last update, which no loss shows.
        scores = np.nan_to_num(scores)
        predicted = scores.argmax(axis=1)
        confusion = np.zeros((10, 10), int)
        np.add.at(confusion, (labels, predicted), 1)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        sure = e.max(axis=1) / e.sum(axis=1)
        wrong = np.flatnonzero(predicted != labels)
        gallery = wrong[np.argsort(-sure[wrong], kind="stable")][:GALLERY]
        return {
            "type": "epoch",
            "epoch": result.epoch,
            "x": result.epoch,
            "train_loss": round(loss, 4),
            "train_accuracy": round(accuracy, 4),
            "test_accuracy": round(result.test_accuracy, 4),
            # Without what it was made to wait.
            "seconds": round(result.seconds - self.waited, 3),
            "predicted": predicted[:SHOWN].tolist(),
            "confusion": confusion.tolist(),
            "gallery": [
                {
                    "index": int(i),
                    "true": int(labels[i]),
                    "predicted": int(predicted[i]),
                    "sure": round(float(sure[i]), 3),
                }
                for i in gallery
            ],
        }

    def _scores(self) -> tuple[np.ndarray, np.ndarray]:
        test: BatchLoader = self.run.test_iter
        scores = [self.run.net(X).asnumpy() for X, _ in test]
        return np.concatenate(scores), test.labels

    def _obey(self, wait: float = 0.0) -> float:
        """Take up commands; wait for one while paused, else ``wait`` seconds.

        Returns:
            Seconds that it took.
        """
        start = time.monotonic()
        until = start + wait
        said = False
        while True:
            if self.paused and not said:
                # What is shown meanwhile is how things stand.
                self._tell_batches()
                self.sync()
                self._look()
                self.connection.send({"type": "state", "state": "paused"})
                said = True
            timeout = None if self.paused else max(0.0, until - time.monotonic())
            if not self.connection.poll(timeout):
                break
            self._take(self.connection.recv())
            if said and not self.paused:
                self.connection.send({"type": "state", "state": "running"})
                break
        return time.monotonic() - start

    def _take(self, command: Event) -> None:
        action = command["action"]
        if action == "stop":
            raise _Stopped
        if action == "lr":
            self.lr = command["lr"]
            x = round(self.updates / self.batches, 4)
            self.connection.send({"type": "lr", "x": x, "lr": self.lr})
        elif action == "pause":
            self.paused = True
        else:
            self.paused = False
            self.to_batch_end = action == "batch"
            self.to_epoch_end = action == "epoch"
