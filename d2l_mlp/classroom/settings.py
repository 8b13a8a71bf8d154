"""What the page may ask for: the settings' own types, within narrower bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ..runs import settings as runs

Units = Annotated[runs.Units, Field(le=512)]
LearningRate = Annotated[runs.LearningRate, Field(ge=1e-4, le=10)]


class RunSettings(BaseModel, extra="forbid"):
    """A run's settings; the defaults are the chapter's.

    ``num_hiddens`` are the units of each hidden layer, none for softmax regression;
    ``seconds_per_epoch`` slows a run down to be watched, 0 is as fast as it can.
    """

    num_hiddens: Annotated[list[Units], Field(max_length=4)] = [256]
    lr: LearningRate = 0.5
    batch_size: Annotated[runs.BatchSize, Field(ge=16, le=4096)] = 256
    num_epochs: Annotated[runs.NumEpochs, Field(le=100)] = 10
    seed: runs.Seed = 0
    seconds_per_epoch: Annotated[float, Field(ge=0, le=60)] = 0

    def to_settings(self) -> runs.Settings:
        """Return them for ``Run``, as a static graph."""
        found = self.model_dump(exclude={"seconds_per_epoch"})
        return runs.Settings(**found, hybridize=True)


class Control(BaseModel, extra="forbid"):
    """What a teacher does to a run that is going on.

    ``batch`` and ``epoch`` go on for one of them and pause; ``lr`` is the new learning
    rate of ``"lr"``; ``reset`` stops the run, if any, and clears every page.
    """

    action: Literal["pause", "resume", "batch", "epoch", "stop", "lr", "reset"]
    lr: LearningRate | None = None


class Start(BaseModel, extra="forbid"):
    """A new run; ``paused`` waits before its first batch."""

    settings: RunSettings = RunSettings()
    paused: bool = False
