"""The events of all runs, which every viewer is sent: a list that only grows.

An event is encoded once, however many viewers there are.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

#: A viewer that is further behind than this many events gets fewer points.
BEHIND = 60


class Log:
    """Events of all runs, in order; a viewer's last id says what it has received.

    It belongs to one event loop: other threads append by ``call_soon_threadsafe``.
    """

    def __init__(self) -> None:
        # Ids of an earlier server must not be mistaken for this one's.
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
        """Return the number of the event after this one.

        Without an id of this server, it is the latest ``reset`` or the first event.
        """
        name, _, number = (last_event_id or "").rpartition("-")
        if name != self._name or not number.isascii() or not number.isdigit():
            return self._start
        # Python refuses to read numbers of thousands of digits.
        return min(int(number[:12]) + 1, len(self._chunks))

    async def follow(
        self, last_event_id: str | None = None, pause: float = 0.05
    ) -> AsyncIterator[bytes]:
        """Yield every event after ``last_event_id``, then new ones as they come.

        A chunk holds one event or more; chunks are at least ``pause`` seconds apart. A
        viewer that cannot keep up misses some points of a curve, and nothing else.
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
