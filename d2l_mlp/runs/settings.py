"""What a run is made of, checked before anything is loaded for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import _checks, _values
from ..chapter.model import check_dropout, check_scale
from ..chapter.results import METRICS
from ..chapter.step import HYBRIDIZE
from .schedules import check_schedule


def describe_layers(num_hiddens: Sequence[int]) -> str:
    """Return a net's sizes as text, ``"784-256-10"`` for one hidden layer of 256."""
    return "-".join(map(str, (784, *num_hiddens, 10)))


@dataclass(frozen=True)
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
        scale: standard deviation of the first weights, or ``"he"``, see
            ``init_params``.
        schedule: how the learning rate falls from ``lr`` to nearly 0 over the run, one
            of ``SCHEDULES``; ``"constant"`` for not at all.
        dropout: share of the hidden units left out at each batch, see ``make_net``.
        wd: weight decay, see ``sgd``.
    """

    num_hiddens: tuple[int, ...] = (256,)
    lr: float = 0.5
    batch_size: int = 256
    num_epochs: int = 10
    seed: int = 0
    use_gluon: bool = False
    train_metric: str = "sample"
    hybridize: bool = False
    scale: float | str = 0.01
    schedule: str = "constant"
    dropout: float = 0.0
    wd: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no run can be made of, before anything is loaded for it.

        Raises:
            ValueError: a setting out of its range; names it.
        """
        hiddens = _values.sequence("num_hiddens", self.num_hiddens, "whole numbers")
        _values.flag("use_gluon", self.use_gluon)
        _values.one_of("hybridize", self.hybridize, HYBRIDIZE)
        _values.one_of("train_metric", self.train_metric, METRICS)
        check_scale(self.scale)
        check_schedule(self.schedule)
        check_dropout(self.dropout)
        lr = _values.positive("lr", self.lr)
        _checks.weight_decay(self.wd, self.lr)
        whole = _values.whole_number
        found = self.hybridize
        # As Python's own numbers, which can be kept as JSON.
        own = {
            "num_hiddens": tuple(whole("num_hiddens", units) for units in hiddens),
            "lr": lr,
            "batch_size": whole("batch_size", self.batch_size),
            "num_epochs": whole("num_epochs", self.num_epochs),
            "seed": _values.seed(self.seed),
            "use_gluon": bool(self.use_gluon),
            "hybridize": found if isinstance(found, str) else bool(found),
            "scale": self.scale if isinstance(self.scale, str) else float(self.scale),
            "dropout": float(self.dropout),
            "wd": float(self.wd),
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        kind = ", by Gluon" if self.use_gluon else ""
        kind += ", hybridized" if self.hybridize else ""
        falling = "" if self.schedule == "constant" else f" ({self.schedule})"
        text = (
            f"net {describe_layers(self.num_hiddens)}{kind}, lr {self.lr:g}{falling}, "
            f"batch size {self.batch_size}, {_values.counted(self.num_epochs, 'epoch')}"
        )
        for name in ("scale", "dropout", "wd"):
            value = getattr(self, name)
            if value != getattr(Settings, name):
                text += f", {name} {value if isinstance(value, str) else f'{value:g}'}"
        return text
