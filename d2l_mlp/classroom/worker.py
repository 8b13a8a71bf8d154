"""Trains the run in a process of its own, and reports on it.

One connection carries commands in and events out. An event is a dictionary with a
``type``: ``batch``, ``epoch``, ``lr``, ``state``, ``look`` (the parameters, for
pictures and predictions) and finally ``end`` with its ``reason``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from scipy.special import softmax

from ..chapter.model import Net
from ..chapter.results import BatchResult, EpochResult, TrainingDiverged
from ..dataset.fashion_mnist import load_fashion_mnist, make_loaders
from ..dataset.loader import BatchLoader
from ..runs.run import Run
from .settings import RunSettings

#: Seconds between two points of a curve, and between two reports of the parameters.
POINT, LOOK = 0.1, 1.0
#: Test images shown with their predicted label; wrongly labelled ones in the gallery.
SHOWN, GALLERY = 9, 12


class _Stopped(Exception):
    pass


def work(
    asked: RunSettings, paused: bool, root: str | None, connection: Connection
) -> None:
    """Train as ``asked`` and report to ``connection``: the process's main function."""
    try:
        data = load_fashion_mnist(root)
        run = Run(asked.to_settings(), make_loaders(data, asked.batch_size))
        Reporter(run, asked, paused, connection).run()
    except _Stopped:
        connection.send({"type": "end", "reason": "stopped"})
    except TrainingDiverged as error:
        connection.send({"type": "end", "reason": "diverged", "message": str(error)})
    except (ConnectionError, EOFError):
        pass  # The server is gone.
    except Exception as error:
        connection.send({"type": "end", "reason": "failed", "message": str(error)})
        raise


class Reporter:
    """Trains a run, reports its progress and handles the teacher's commands.

    Args:
        trained: the run.
        asked: its settings, with ``seconds_per_epoch``.
        paused: wait for a command before the first batch.
        connection: to the server.
    """

    def __init__(
        self, trained: Run, asked: RunSettings, paused: bool, connection: Connection
    ) -> None:
        self.trained, self.asked, self.connection = trained, asked, connection
        self.lr, self.paused = asked.lr, paused
        # Pause at the end of this "batch" or "epoch".
        self.step, self.updates = "", 0
        self.losses: list[float] = []
        # ``waited``: seconds of this epoch spent on commands and pace.
        self.last_point = self.last_look = self.waited = 0.0
        self.epoch = 1
        self.sync: Callable[[], None] = lambda: None
        self.num_batches = len(trained.train_iter)

    def run(self) -> None:
        """Train to the end."""
        self._send_look()
        self._handle_commands()
        for result in self.trained.epochs(self._on_batch, lambda _: self.lr):
            self._send_point()
            seconds = round(result.seconds - self.waited, 3)
            found = describe(result, self.trained.net, self.trained.test_iter)
            self._send("epoch", **found, seconds=seconds)
            self._send_look()
            self.epoch = result.epoch + 1
            self._pause_after("epoch")
            if result.epoch < self.asked.num_epochs:
                # The parameters have just been sent.
                self.sync = lambda: None
                self._handle_commands()
            self.waited = 0.0
        self._send("end", reason="done")

    def _send(self, kind: str, **facts: Any) -> None:
        self.connection.send({"type": kind} | facts)

    def _x(self) -> float:
        """Return the number of epochs so far, a fraction: the charts' x."""
        return round(self.updates / self.num_batches, 4)

    def _on_batch(self, batch: BatchResult) -> None:
        self.updates += 1
        self.losses.append(batch.loss)
        self._pause_after("batch")
        self.epoch, self.sync = batch.epoch, batch.sync
        now = time.monotonic()
        if now - self.last_point >= POINT:
            self._send_point()
        if now - self.last_look >= LOOK:
            self.sync()
            self._send_look()
        # An epoch's seconds do not include waits between epochs in any case.
        pace = self.asked.seconds_per_epoch / self.num_batches
        self.waited += self._handle_commands(pace)

    def _send_point(self) -> None:
        """Send a point: the mean loss of the batches since the last one."""
        if self.losses:
            mean = float(np.mean(self.losses))
            loss = round(mean, 4) if np.isfinite(mean) else None
            self._send("batch", epoch=self.epoch, x=self._x(), loss=loss)
        self.losses.clear()
        self.last_point = time.monotonic()

    def _send_look(self) -> None:
        self._send("look", params=[param.asnumpy() for param in self.trained.params])
        self.last_look = time.monotonic()

    def _handle_commands(self, wait: float = 0.0) -> float:
        """Handle commands for ``wait`` seconds, or until resumed if paused.

        Returns the seconds that this took.
        """
        start, reported = time.monotonic(), False
        while True:
            if self.paused and not reported:
                # The page shows the run as it is now.
                self._send_point()
                self.sync()
                self._send_look()
                self._send("state", state="paused")
                reported = True
            left = max(0.0, start + wait - time.monotonic())
            timeout = None if self.paused else left
            if not self.connection.poll(timeout):
                break
            self._handle(self.connection.recv())
            if reported and not self.paused:
                self._send("state", state="running")
                break
        return time.monotonic() - start

    def _handle(self, command: dict[str, Any]) -> None:
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


def describe(result: EpochResult, net: Net, test_iter: BatchLoader) -> dict[str, Any]:
    """Return an epoch's results, and the net's predictions on the test images."""
    labels = test_iter.labels
    # Parameters may overflow in the very last update, which no loss shows.
    scores = np.nan_to_num(np.concatenate([net(X).asnumpy() for X, _ in test_iter]))
    predicted = scores.argmax(axis=1)
    confusion = np.bincount(10 * labels + predicted, minlength=100)
    sure = softmax(scores, axis=1).max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return {
        "epoch": result.epoch,
        "x": result.epoch,
        "train_loss": round(result.train_loss, 4),
        "train_accuracy": round(result.train_accuracy, 4),
        "test_accuracy": round(result.test_accuracy, 4),
        "predicted": predicted[:SHOWN].tolist(),
        "confusion": confusion.reshape(10, 10).tolist(),
        "gallery": [
            {
                "index": int(i),
                "true": int(labels[i]),
                "predicted": int(predicted[i]),
                "sure": round(float(sure[i]), 3),
            }
            for i in wrong[np.argsort(-sure[wrong], kind="stable")][:GALLERY]
        ],
    }
