"""What the book printed, and what today's runs have to say to it."""

from .editions import CHAPTER, LINEAR, Edition, EditionError, load_editions

__all__ = ["CHAPTER", "LINEAR", "Edition", "EditionError", "load_editions"]
