"""The run, in a process of its own: iterates the one loop and reports on it.

Commands come in and dictionaries go out by one connection. Each of these has a
``type``: ``batch``, ``epoch``, ``lr``, ``state``, ``look`` (the parameters, for
pictures and predictions), and at last ``end`` with its ``reason``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from scipy.special import softmax

from ..chapter.results import BatchResult, EpochResult, TrainingDiverged
from ..dataset.fashion_mnist import load_fashion_mnist, make_loaders
from ..runs.run import Run
from .settings import RunSettings

#: Seconds between two points of a curve, and between two looks at the parameters.
POINT, LOOK = 0.1, 1.0
#: Test images with their predicted label; the gallery's size.
SHOWN, GALLERY = 9, 12


class _Stopped(Exception):
    pass


def work(
    asked: RunSettings, paused: bool, root: str | None, connection: Connection
) -> None:
    """Train as ``asked``; the process's whole life."""
    try:
        data = load_fashion_mnist(root)
        run = Run(asked.to_settings(), make_loaders(data, asked.batch_size))
        Reporter(run, asked, paused, connection).report()
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


class Reporter:
    """Trains a run, reports on it as it goes, and obeys the teacher's commands.

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
        self.lr, self.paused = asked.lr, paused
        # "batch" or "epoch", to pause at its end; or another command.
        self.step = ""
        self.updates = 0
        self.losses: list[float] = []
        self.sent = self.looked = self.waited = 0.0
        self.epoch = 1
        self.sync: Callable[[], None] = lambda: None
        self.batches = len(run.train_iter)

    def report(self) -> None:
        """Train to the end."""
        self._look()
        self._obey()
        for result in self.run.epochs(self._on_batch, lambda num_update: self.lr):
            self._send_point()
            self._send("epoch", **self._describe(result))
            self._look()
            self.epoch = result.epoch + 1
            self._pause_after("epoch")
            if result.epoch < self.asked.num_epochs:
                # The parameters have just been sent.
                self.sync = lambda: None
                self._obey()
            self.waited = 0.0
        self._send("end", reason="done")

    def _send(self, kind: str, **facts: Any) -> None:
        self.connection.send({"type": kind} | facts)

    def _x(self) -> float:
        """Return how many epochs have passed, as the charts' axis has it."""
        return round(self.updates / self.batches, 4)

    def _on_batch(self, batch: BatchResult) -> None:
        self.updates += 1
        self.losses.append(batch.loss)
        self._pause_after("batch")
        self.epoch, self.sync = batch.epoch, batch.sync
        now = time.monotonic()
        if now - self.sent >= POINT:
            self._send_point()
        if now - self.looked >= LOOK:
            self.sync()
            self._look()
        # Waits between epochs are in no epoch's seconds anyway.
        self.waited += self._obey(self.asked.seconds_per_epoch / self.batches)

    def _send_point(self) -> None:
        """Send a point: the mean loss of the batches since the last one."""
        if self.losses:
            mean = float(np.mean(self.losses))
            loss = round(mean, 4) if np.isfinite(mean) else None
            self._send("batch", epoch=self.epoch, x=self._x(), loss=loss)
        self.losses.clear()
        self.sent = time.monotonic()

    def _look(self) -> None:
        self._send("look", params=[param.asnumpy() for param in self.run.params])
        self.looked = time.monotonic()

    def _describe(self, result: EpochResult) -> dict[str, Any]:
        """Return an epoch's numbers, and how the net does on the test images."""
        test = self.run.test_iter
        labels = test.labels
        scores = np.concatenate([self.run.net(X).asnumpy() for X, _ in test])
        # Parameters may overflow in the very last update, which no loss shows.
        scores = np.nan_to_num(scores)
        predicted = scores.argmax(axis=1)
        confusion = np.bincount(10 * labels + predicted, minlength=100)
        sure = softmax(scores, axis=1).max(axis=1)
        wrong = np.flatnonzero(predicted != labels)
        gallery = wrong[np.argsort(-sure[wrong], kind="stable")][:GALLERY]
        return {
            "epoch": result.epoch,
            "x": result.epoch,
            "train_loss": round(result.train_loss, 4),
            "train_accuracy": round(result.train_accuracy, 4),
            "test_accuracy": round(result.test_accuracy, 4),
            # Without the time that it was made to wait.
            "seconds": round(result.seconds - self.waited, 3),
            "predicted": predicted[:SHOWN].tolist(),
            "confusion": confusion.reshape(10, 10).tolist(),
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

    def _obey(self, wait: float = 0.0) -> float:
        """Obey commands; wait for one while paused, else for ``wait`` seconds.

        Returns the seconds that this took.
        """
        start, reported = time.monotonic(), False
        while True:
            if self.paused and not reported:
                # Meanwhile the page shows the state as of now.
                self._send_point()
                self.sync()
                self._look()
                self._send("state", state="paused")
                reported = True
            left = max(0.0, start + wait - time.monotonic())
            timeout = None if self.paused else left
            if not self.connection.poll(timeout):
                break
            self._take(self.connection.recv())
            if reported and not self.paused:
                self._send("state", state="running")
                break
        return time.monotonic() - start

    def _take(self, command: dict[str, Any]) -> None:
        action = command["action"]
        if action == "stop":
            raise _Stopped
        if action == "lr":
            self.lr = command["lr"]
            self._send("lr", x=self._x(), lr=self.lr)
        elif action == "pause":
            self.paused = True
        else:
            self.paused, self.step = False, action

    def _pause_after(self, step: str) -> None:
        if self.step == step:
            self.paused, self.step = True, ""
