"""What has happened, for everyone in the room: an append-only list of events.

Each event is kept as the bytes that every viewer is sent, so that 300 viewers cost one
encoding.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

#: Events behind the newest one from which on a viewer's points are thinned.
BEHIND = 60


class Log:
    """Events of all runs, in order; ids tell where a viewer stands.

    Of one event loop alone: append from other threads by ``call_soon_threadsafe``.
    """

    def __init__(self) -> None:
        # Another server's ids must not be taken for ours.
        self._name = secrets.token_hex(4)
        self._chunks: list[bytes] = []
        self._types: list[str] = []
        self._news = asyncio.Event()
        self._start = 0

    def append(self, event: dict[str, Any]) -> None:
        """Add an event, a dictionary with its ``type``, and wake the viewers.

        A viewer that comes after a ``reset`` is sent nothing from before it.
        """
        data = json.dumps(event, separators=(",", ":"), allow_nan=False)
        number = len(self._chunks)
        if event["type"] == "reset":
            self._start = number
        text = f"id: {self._name}-{number}\nevent: {event['type']}\ndata: {data}\n\n"
        self._chunks.append(text.encode())
        self._types.append(event["type"])
        news, self._news = self._news, asyncio.Event()
        news.set()

    def position(self, last_event_id: str | None) -> int:
        """Return the number of the event after this one, or where strangers start."""
        name, _, number = (last_event_id or "").rpartition("-")
        if name != self._name or not number.isascii() or not number.isdigit():
            return self._start
        # Python refuses to read numbers of thousands of digits.
        return min(int(number[:12]) + 1, len(self._chunks))

    async def follow(
        self, last_event_id: str | None = None, pause: float = 0.05
    ) -> AsyncIterator[bytes]:
        """Yield every event after ``last_event_id``, then each as it comes.

        Several at a time, at most one chunk in ``pause`` seconds. A viewer that cannot
        keep up misses points of a curve, and nothing else.
        """
        position, first = self.position(last_event_id), True
        while True:
            news, end = self._news, len(self._chunks)
            if position < end:
                thin = not first and end - position > BEHIND
                yield b"".join(
                    self._chunks[i]
                    for i in range(position, end)
                    if not (thin and self._types[i] == "batch" and i % 4)
                )
                position, first = end, False
                await asyncio.sleep(pause)
            else:
                first = False
                await news.wait()
