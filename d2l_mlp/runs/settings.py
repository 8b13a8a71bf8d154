"""What a run is made of: each setting's type and widest bounds stand here, once.

Python, stored jobs, the command line and the classroom page all use these types. They
need neither MXNet nor numpy: a command's options are checked before these load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, wraps
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

# A wider layer would take more than 3 GB for its weights and their gradient.
Units = Annotated[int, Field(strict=True, ge=1, le=500_000)]
LearningRate = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NumHiddens = tuple[Units, ...]
BatchSize = Annotated[int, Field(strict=True, ge=1)]
NumEpochs = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Flag = Annotated[bool, Field(strict=True)]
Metric = Literal["sample", "batch"]
Scale = LearningRate | Literal["he"]
Schedule = Literal["constant", "linear", "poly", "cosine"]
Dropout = Annotated[float, Field(strict=True, ge=0, lt=1)]
WeightDecay = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]

T = TypeVar("T", bound=type)


def check_text(kind: Any, text: str) -> Any:
    """Return the value of the type ``kind`` that a command line's ``text`` stands for.

    Raises:
        ValueError: it stands for none; the message has no argument's name.
    """
    try:
        if get_origin(kind) is tuple:
            one = get_args(kind)[0]
            return tuple(check_text(one, part) for part in text.split(","))
        return _adapter(kind).validate_strings(text)
    except ValueError:
        raise ValueError(f"found {text!r}, expected {in_words(kind)}") from None


def in_words(kind: Any) -> str:
    """Say what the type ``kind`` takes, such as ``"a whole number from 1 on"``."""
    return _in_words(_adapter(kind).json_schema())


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def _in_words(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_in_words, schema["anyOf"]))
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(repr, schema["enum"]))
    if schema["type"] == "array":
        one = _in_words(schema["items"])
        return one.replace("a whole number", "whole numbers")
    words = {"integer": "a whole number", "number": "a finite number"}
    text = words.get(schema["type"], "True or False")
    if "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']}"
    if "minimum" in schema:
        text += f" from {schema['minimum']}"
        text += f" to {schema['maximum']}" if "maximum" in schema else " on"
    if "exclusiveMaximum" in schema:
        text += f", below {schema['exclusiveMaximum']}"
    return text


def _with_plain_errors(cls: T) -> T:
    """Let a pydantic dataclass take NumPy's numbers, and give errors in one line."""
    check: Callable[..., None] = cls.__init__  # type: ignore[misc]

    @wraps(check)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            check(
                self,
                *map(_of_python, args),
                **{name: _of_python(value) for name, value in kwargs.items()},
            )
        except ValidationError as error:
            raise ValueError(_explain(error, cls)) from None

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def _of_python(value: Any) -> Any:
    """Return NumPy's numbers and arrays as Python's own, which JSON can hold."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        return [_of_python(each) for each in value]
    return value


def _explain(error: ValidationError, cls: Any) -> str:
    from .._values import brief

    first = error.errors()[0]
    if "ctx" in first and "error" in first["ctx"]:
        # Of several settings together, in the words of their check.
        return str(first["ctx"]["error"])
    known = _adapter(cls).json_schema()["properties"]
    name: Any = first["loc"][0]
    # An argument without a name has its place.
    name = dict(enumerate(known)).get(name, name)
    if first["type"] in ("multiple_argument_values", "unexpected_positional_argument"):
        return f"{name}: found two values, or too many, expected each setting once"
    if name not in known:
        return f"{name}: found no such setting, expected one of {', '.join(known)}"
    return f"{name}: found {brief(first['input'])}, expected {_in_words(known[name])}"


def describe_layers(num_hiddens: Sequence[int]) -> str:
    """Return a net's sizes as text, ``"784-256-10"`` for one hidden layer of 256."""
    return "-".join(map(str, (784, *num_hiddens, 10)))


@_with_plain_errors
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What a run is made of; the defaults are the chapter's.

    Attributes:
        num_hiddens: units of each hidden layer; ``()`` for softmax regression.
        lr: learning rate.
        batch_size: images a batch.
        num_epochs: passes over the training images.
        seed: for ``seed_everything``, 0 to 2**31 - 1.
        use_gluon: train Gluon's twin of the net, with a Gluon trainer.
        train_metric: how training columns are averaged, see ``train_epochs``.
        hybridize: train a static graph of the net, see ``train_epochs``.
        scale: standard deviation of the initial weights, or ``"he"``, see
            ``init_params``.
        schedule: how the learning rate falls from ``lr`` to nearly 0 over the run;
            ``"constant"`` for not at all.
        dropout: share of the hidden units left out at each batch, see ``make_net``.
        wd: weight decay, see ``sgd``.

    Raises:
        ValueError: a setting out of its bounds; names it.
    """

    num_hiddens: NumHiddens = (256,)
    lr: LearningRate = 0.5
    batch_size: BatchSize = 256
    num_epochs: NumEpochs = 10
    seed: Seed = 0
    use_gluon: Flag = False
    train_metric: Metric = "sample"
    hybridize: Flag | Literal["auto"] = False
    scale: Scale = 0.01
    schedule: Schedule = "constant"
    dropout: Dropout = 0.0
    wd: WeightDecay = 0.0

    @model_validator(mode="after")
    def _check_decay(self) -> Settings:
        if self.lr * self.wd >= 1:
            raise ValueError(
                f"wd: found {self.wd:g} at learning rate {self.lr:g}, expected a "
                "product below 1: the parameters would change their signs"
            )
        return self

    def __str__(self) -> str:
        kind = ", by Gluon" if self.use_gluon else ""
        kind += ", hybridized" if self.hybridize else ""
        falling = "" if self.schedule == "constant" else f" ({self.schedule})"
        epochs = "1 epoch" if self.num_epochs == 1 else f"{self.num_epochs} epochs"
        text = (
            f"net {describe_layers(self.num_hiddens)}{kind}, lr {self.lr:g}{falling}, "
            f"batch size {self.batch_size}, {epochs}"
        )
        for name in ("scale", "dropout", "wd"):
            value = getattr(self, name)
            if value != getattr(Settings, name):
                text += f", {name} {value if isinstance(value, str) else f'{value:g}'}"
        return text
