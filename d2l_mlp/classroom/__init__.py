"""The classroom page: one run, live, on every laptop in the room.

Start with ``app``, the server's addresses. ``room`` holds the run, and ``predicting``
reads a student's drawing.
"""

from .server import show

__all__ = ["show"]
