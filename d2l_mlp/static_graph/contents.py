"""What a net is made of by now: the numbers, arrays and gradients that it names."""

from __future__ import annotations

import inspect
from functools import partial
from types import ModuleType
from typing import Any

from mxnet import gluon, nd

from .graph import name_of

#: Of a longer list or dictionary no part is compared: that is data.
MOST_PARTS = 1000


def contents(thing: Any) -> list[Any]:
    """Return what a function's graph is made of, to be compared with ``==`` later.

    Numbers and texts are there by value; arrays, modules and the like by identity; what
    functions, lists, dictionaries and objects hold, part by part.
    """
    found: list[Any] = []
    _add_contents(thing, found, {})
    return found


class _Itself:
    """Equals what holds the same object, which so cannot make room for another."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.thing is other.thing


def _add_contents(thing: Any, found: list[Any], seen: dict[int, Any]) -> None:
    if thing is None or isinstance(thing, (bool, int, float, str, bytes)):
        # As text: NaN equals itself there, and True is not 1.
        found.append(repr(thing))
        return
    parts = isinstance(thing, (list, tuple, dict)) and len(thing) <= MOST_PARTS
    found.append(f"{type(thing)} of {len(thing)}" if parts else _Itself(thing))
    if id(thing) in seen:
        return
    # Kept, so that no other thing comes to have its id meanwhile.
    seen[id(thing)] = thing
    if isinstance(thing, nd.NDArray):
        # Anew under another name after another attach_grad.
        found.append(name_of(thing))
    elif isinstance(thing, gluon.Block):
        found.append(repr(thing))
        for parameter in thing.collect_params().values():
            found.append(parameter.grad_req)
            for array in parameter._data or []:
                _add_contents(array, found, seen)
        _add_contents(
            {k: v for k, v in vars(thing).items() if isinstance(v, (int, float, str))},
            found,
            seen,
        )
    elif parts:
        for key, part in thing.items() if isinstance(thing, dict) else enumerate(thing):
            found.append(repr(key))
            _add_contents(part, found, seen)
    elif isinstance(thing, partial):
        for part in (thing.func, thing.args, thing.keywords):
            _add_contents(part, found, seen)
    elif inspect.ismethod(thing):
        _add_contents(thing.__self__, found, seen)
        _add_contents(thing.__func__, found, seen)
    elif inspect.isfunction(thing):
        # A function made by hand may have no module.
        if not str(thing.__module__).startswith("mxnet"):
            names = inspect.getclosurevars(thing)
            _add_contents({**names.globals, **names.nonlocals}, found, seen)
            _add_contents([thing.__defaults__, thing.__kwdefaults__], found, seen)
    elif not isinstance(thing, (type, ModuleType)) and hasattr(thing, "__dict__"):
        _add_contents(vars(thing), found, seen)
