"""What the book printed, and whether today's runs print the same.

Start with ``editions`` (the printed numbers), then ``statistics`` (how a curve is
judged) and ``comparison`` (all of them judged).
"""

from .editions import CHAPTER, LINEAR, Edition, EditionError, load_editions

__all__ = ["CHAPTER", "LINEAR", "Edition", "EditionError", "load_editions"]
