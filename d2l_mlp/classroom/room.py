"""The room: one run at a time in a process of its own, its events, its latest look."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import threading
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..sweep import one_thread
from .log import Log
from .settings import Control, RunSettings
from .worker import work

#: Seconds that a run is given to stop by itself.
PATIENCE = 3.0


class Conflict(RuntimeError):
    """What is asked for does not go with the state of the run."""


class Room:
    """Starts runs, passes commands on, and keeps what they tell.

    Its methods are for the event loop's thread; a thread of its own reads from the run
    and never waits for a viewer.

    Args:
        root: folder of the data files.

    Attributes:
        log: everything that viewers are sent.
        state: ``"idle"``, ``"starting"``, ``"running"`` or ``"paused"``.
        number: of the latest run, from 1.
        settings: its settings.
        params: its parameters as last looked at, ``[W1, b1, ...]``.
        version: rises with each look.
    """

    def __init__(self, root: str | None = None) -> None:
        self.log = Log()
        self.state = "idle"
        self.number = 0
        self.version = 0
        self.settings = RunSettings()
        self.params: list[np.ndarray] = []
        self._root = root
        self._reset = False
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._reader: threading.Thread | None = None

    def start(self, settings: RunSettings, paused: bool = False) -> int:
        """Start a run and return its number.

        Raises:
            Conflict: one is going on.
        """
        if self.state != "idle":
            raise Conflict(f"run: found run {self.number} going on, stop it first")
        self.number += 1
        self.settings, self.state = settings, "starting"
        self.log.append(
            {"type": "start", "run": self.number, "settings": settings.model_dump()}
        )
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=work,
            args=(settings.model_dump(), paused, self._root, theirs),
            daemon=True,
        )
        # The other processor is for the page and its viewers.
        with one_thread():
            self._process.start()
        theirs.close()
        self._reader = threading.Thread(
            target=self._read,
            args=(self._connection, self._process, asyncio.get_running_loop()),
            daemon=True,
        )
        self._reader.start()
        return self.number

    def control(self, command: Control) -> None:
        """Pass a command on to the run.

        Raises:
            Conflict: there is no run, or a new learning rate is missing.
        """
        if command.action == "reset":
            self._reset = True
            if self.state == "idle":
                self._clear()
                return
            command = Control(action="stop")
        if self.state == "idle" or self._connection is None:
            raise Conflict(f"{command.action}: found no run going on, start one first")
        if command.action == "lr" and command.lr is None:
            raise Conflict("lr: found none, expected the new learning rate")
        try:
            self._connection.send(command.model_dump())
        except OSError:
            raise Conflict(f"{command.action}: the run has just ended") from None

    def close(self) -> None:
        """End the run, if there is one, and wait for it."""
        if self._process is not None and self._process.is_alive():
            with contextlib.suppress(Conflict):
                self.control(Control(action="stop"))
            self._process.join(PATIENCE)
            self._process.kill()
        if self._reader is not None:
            self._reader.join(PATIENCE)

    def _read(
        self,
        connection: Connection,
        process: multiprocessing.process.BaseProcess,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take what the run tells to the event loop, until it ends or dies."""
        ended = False
        while True:
            try:
                event = connection.recv()
            except (EOFError, OSError):
                break
            ended = ended or event["type"] == "end"
            if not _call(loop, self._take, event):
                break
        process.join()
        connection.close()
        if not ended:
            message = f"the run's process died (exit code {process.exitcode})"
            event = {"type": "end", "reason": "failed", "message": message}
            _call(loop, self._take, event)
        _call(loop, self._now_idle)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "look":
            self.params = event.pop("params")
            self.version += 1
            event["version"] = self.version
        if self.state == "starting":
            self.state = "running"
        if kind == "state":
            self.state = event["state"]
        self.log.append(event | {"run": self.number})

    def _now_idle(self) -> None:
        self.state = "idle"
        self.log.append({"type": "state", "state": "idle", "run": self.number})
        if self._reset:
            self._clear()

    def _clear(self) -> None:
        self._reset = False
        self.log.append({"type": "reset"})


def _call(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> bool:
    """Call in the event loop's thread; tell whether there still is a loop."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return False
    return True
