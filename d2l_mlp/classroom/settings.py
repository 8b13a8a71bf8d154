"""What the page may ask for, with its bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..runs.run import Settings

Units = Annotated[int, Field(ge=1, le=512)]
LearningRate = Annotated[float, Field(ge=1e-4, le=10, allow_inf_nan=False)]


class RunSettings(BaseModel):
    """A run's settings; the defaults are the chapter's.

    ``num_hiddens`` are the units of each hidden layer, none for softmax regression;
    ``seconds_per_epoch`` slows a run down to be watched, 0 is as fast as it can.
    """

    model_config = ConfigDict(extra="forbid")

    num_hiddens: Annotated[list[Units], Field(max_length=4)] = [256]
    lr: LearningRate = 0.5
    batch_size: Annotated[int, Field(ge=16, le=4096)] = 256
    num_epochs: Annotated[int, Field(ge=1, le=100)] = 10
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    seconds_per_epoch: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0

    def to_settings(self) -> Settings:
        """Return them for ``Run``, as a static graph."""
        return Settings(
            num_hiddens=tuple(self.num_hiddens),
            lr=self.lr,
            batch_size=self.batch_size,
            num_epochs=self.num_epochs,
            seed=self.seed,
            hybridize=True,
        )


class Control(BaseModel):
    """What a teacher does to a run that is going on.

    ``batch`` and ``epoch`` go on for one of them and pause; ``lr`` is the new learning
    rate of ``"lr"``; ``reset`` stops the run, if any, and clears every page.
    """

    model_config = ConfigDict(extra="forbid")

    action: Literal["pause", "resume", "batch", "epoch", "stop", "lr", "reset"]
    lr: LearningRate | None = None


class Start(BaseModel):
    """A new run; ``paused`` waits before its first batch."""

    model_config = ConfigDict(extra="forbid")

    settings: RunSettings = RunSettings()
    paused: bool = False
