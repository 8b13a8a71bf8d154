"""The room: one run at a time in its own process, its events and parameters."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from fastapi import HTTPException

from .. import _stop
from ..runs.sweep import one_thread
from .log import Log
from .settings import Control, RunSettings
from .worker import work

#: Seconds for a run to stop by itself; it may still be loading MXNet.
PATIENCE = 5.0


class Conflict(HTTPException):
    """A request that is not possible in the present state of the run."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, detail)


class Room:
    """Starts runs, sends them commands, and keeps what they report.

    Call its methods from the event loop's thread. Another thread reads the run's events
    and never waits for a viewer.

    Args:
        root: folder of the data files.

    Attributes:
        log: the events that viewers are sent.
        state: ``"idle"``, ``"starting"``, ``"running"`` or ``"paused"``.
        number: of the latest run, from 1; 0 before it.
        look: a version that rises with each report, and the parameters reported last,
            float32 ``[W1, b1, ...]``; an empty list before the first report.
    """

    def __init__(self, root: str | None = None) -> None:
        self.log = Log()
        self.state = "idle"
        self.number = 0
        self.look: tuple[int, list[np.ndarray]] = (0, [])
        self._root = root
        self._reset = self._stopping = False
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._reader: threading.Thread | None = None
        # A page that reconnects to a restarted server learns of it by this event's id.
        self.log.append({"type": "state", "state": "idle", "run": 0})

    def start(self, settings: RunSettings, paused: bool = False) -> int:
        """Start a run and return its number.

        Raises:
            Conflict: there is a run already, or its process cannot be started.
        """
        if self.state != "idle":
            raise Conflict(f"run: found run {self.number} going on, stop it first")
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(
            target=work,
            args=(settings, paused, self._root, theirs),
            daemon=True,
        )
        try:
            # It leaves the other processors to the page and its viewers.
            with one_thread(), _stop.sigint_blocked():
                process.start()
        except OSError as error:
            ours.close()
            raise Conflict(f"run: its process cannot be started ({error})") from None
        finally:
            theirs.close()
        self._connection, self._process = ours, process
        self._stopping = False
        self.number += 1
        self.state = "starting"
        self.log.append(
            {"type": "start", "run": self.number, "settings": settings.model_dump()}
        )
        self._reader = threading.Thread(
            target=self._read,
            args=(ours, process, asyncio.get_running_loop()),
            daemon=True,
        )
        self._reader.start()
        return self.number

    def control(self, command: Control) -> None:
        """Send a command to the run.

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
        if command.action == "stop" and self._process is not None:
            self._stopping = True
            loop = asyncio.get_running_loop()
            loop.call_later(PATIENCE, self._process.kill)
        try:
            self._connection.send(command.model_dump())
        except OSError:
            raise Conflict(f"{command.action}: the run has just ended") from None

    def close(self) -> None:
        """Stop the run, if there is one, and wait for its end."""
        if self._process and self._connection and self._process.is_alive():
            with contextlib.suppress(OSError):
                self._connection.send({"action": "stop"})
            self._process.join(PATIENCE)
            self._process.kill()
        if self._reader is not None:
            self._reader.join(PATIENCE)

    def _read(
        self,
        connection: Connection,
        process: BaseProcess,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Pass the run's events to the event loop until its process ends."""
        ended = False
        while True:
            try:
                event = connection.recv()
            except (EOFError, OSError):
                break
            ended = ended or event["type"] == "end"
            if not _call(loop, self._take, event):
                break
        process.join(PATIENCE)
        process.kill()
        process.join()
        connection.close()
        if not ended:
            _call(loop, self._take_death, process.exitcode)
        _call(loop, self._now_idle)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "look":
            self.look = (self.look[0] + 1, event.pop("params"))
            event["version"] = self.look[0]
        if self.state == "starting":
            self.state = "running"
        if kind == "state":
            self.state = event["state"]
        self.log.append(event | {"run": self.number})

    def _take_death(self, exit_code: int | None) -> None:
        end = {"type": "end", "reason": "stopped"}
        if not self._stopping:
            message = f"the run's process died (exit code {exit_code})"
            end |= {"reason": "failed", "message": message}
        self._take(end)

    def _now_idle(self) -> None:
        self.state = "idle"
        self.log.append({"type": "state", "state": "idle", "run": self.number})
        if self._reset:
            self._clear()

    def _clear(self) -> None:
        self._reset = False
        self.look = (self.look[0] + 1, [])
        self.log.append({"type": "reset"})


def _call(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> bool:
    """Call in the event loop's thread; tell whether there still is a loop."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return False
    return True
