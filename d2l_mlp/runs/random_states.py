"""The states of Python's and NumPy's random numbers, taken and given back."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_Word = Annotated[int, Field(ge=0, lt=2**32)]


class Strict(BaseModel):
    """Takes what it names, of the very types, and no NaN: JSON has none."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _with_position(words: list[int]) -> list[int]:
    """Refuse Python's state if its last word, a position, is beyond the others."""
    if words[-1] > 624:
        raise ValueError(f"found position {words[-1]}, expected at most 624")
    return words


class NumpyState(Strict):
    """State of NumPy's global generator, a Mersenne twister."""

    key: Annotated[list[_Word], Field(min_length=624, max_length=624)]
    # NumPy looks beyond its array if told to, and does not ask.
    pos: Annotated[int, Field(ge=0, le=624)]
    has_gauss: Annotated[int, Field(ge=0, le=1)]
    gauss: float


class RandomStates(Strict):
    """States of NumPy's and Python's global generators.

    MXNet's cannot be read; a run seeds it in each epoch, see ``train_epochs``.
    """

    numpy: NumpyState
    python: tuple[
        Literal[3],
        Annotated[
            list[_Word],
            Field(min_length=625, max_length=625),
            AfterValidator(_with_position),
        ],
        float | None,
    ]

    @classmethod
    def now(cls) -> RandomStates:
        """Return the states that are."""
        state: Any = np.random.get_state(legacy=False)
        version, words, gauss = random.getstate()
        return cls(
            numpy=NumpyState(
                key=state["state"]["key"].tolist(),
                pos=state["state"]["pos"],
                has_gauss=state["has_gauss"],
                gauss=state["gauss"],
            ),
            python=(version, list(words), gauss),
        )

    def restore(self) -> None:
        """Have both generators go on from here."""
        found = self.numpy
        key = np.array(found.key, np.uint32)
        np.random.set_state(("MT19937", key, found.pos, found.has_gauss, found.gauss))
        version, words, gauss = self.python
        random.setstate((version, tuple(words), gauss))
