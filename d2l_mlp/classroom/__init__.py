"""The classroom page: one run, live, on every laptop in the room."""

from .server import show

__all__ = ["show"]
