"""Exercise 4: the settings that the search chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..runs.run import Settings

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class Space:
    """The settings that a search may choose; of a tuple of values it tries each.

    Attributes:
        num_epochs: each a multiple of 10, so that a tenth of a run is whole epochs.
        lr: smallest and largest, drawn on a logarithmic scale.
        num_layers: hidden layers, from one to this many.
        units: of a layer; each layer has its own.
        batch_size: images a batch.
        schedule: how the learning rate falls, see ``Settings``.
        scale: of the initial weights, see ``model.init_params``.
        dropout: smallest and largest; None to use none.
        wd: weight decay, smallest and largest, drawn on a logarithmic scale; None to
            use none.
    """

    num_epochs: tuple[int, ...] = (10, 20, 40, 60, 100)
    lr: tuple[float, float] = (0.03, 1.0)
    num_layers: int = 3
    units: tuple[int, ...] = (128, 256, 512, 1024)
    batch_size: tuple[int, ...] = (64, 128, 256)
    schedule: tuple[str, ...] = ("constant", "linear", "cosine")
    scale: tuple[float | str, ...] = (0.01, "he")
    dropout: tuple[float, float] | None = None
    wd: tuple[float, float] | None = None

    def suggest(self, trial: Trial) -> Settings:
        """Let the search choose a setting."""
        choose = trial.suggest_categorical
        num_layers = trial.suggest_int("num_layers", 1, self.num_layers)
        values: dict[str, Any] = {
            "num_epochs": choose("num_epochs", self.num_epochs),
            "lr": trial.suggest_float("lr", *self.lr, log=True),
            "num_layers": num_layers,
            "batch_size": choose("batch_size", self.batch_size),
            "schedule": choose("schedule", self.schedule),
            "scale": choose("scale", self.scale),
        }
        for i in range(num_layers):
            name = f"units_{i + 1}"
            values[name] = choose(name, self.units)
        if self.dropout is not None:
            values["dropout"] = trial.suggest_float("dropout", *self.dropout, step=0.1)
        if self.wd is not None:
            values["wd"] = trial.suggest_float("wd", *self.wd, log=True)
        return to_settings(values)

    def chapters(self) -> dict[str, Any]:
        """Return the chapter's setting in the search's names, without what it lacks."""
        chapter = Settings()
        values = {
            name: getattr(chapter, name)
            for name in ("num_epochs", "batch_size", "schedule", "scale")
            if getattr(chapter, name) in getattr(self, name)
        }
        values |= {"lr": chapter.lr, "num_layers": 1}
        if chapter.num_hiddens[0] in self.units:
            values["units_1"] = chapter.num_hiddens[0]
        if self.dropout is not None:
            values["dropout"] = self.dropout[0]
        if self.wd is not None:
            values["wd"] = self.wd[0]
        return values


#: Without and with --regularise.
PLAIN = Space()
REGULARISED = Space(dropout=(0.0, 0.5), wd=(1e-6, 1e-3))


def to_settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings that a trial's values stand for, without its seed.

    A learning rate and a weight decay are rounded to three digits, so that a command
    line can repeat them.
    """
    return Settings(
        num_hiddens=tuple(
            values[f"units_{i + 1}"] for i in range(values["num_layers"])
        ),
        lr=_rounded(values["lr"]),
        batch_size=values["batch_size"],
        num_epochs=values["num_epochs"],
        hybridize=True,
        scale=values["scale"],
        schedule=values["schedule"],
        dropout=round(values.get("dropout", 0.0), 3),
        wd=_rounded(values.get("wd", 0.0)),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
