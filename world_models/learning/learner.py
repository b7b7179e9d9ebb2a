"""What all that learns by a `Training` in a run has in common."""

from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from world_models.runs.metrics import MetricsLog
from world_models.runs.run import Run
from world_models.runs.schedule import Best
from world_models.runs.training import Training

M = TypeVar("M", bound=nn.Module)


class Learner(Generic[M]):
    """How far it is, and what it is resumed from."""

    run: Run
    training: Training[M]

    @property
    def step(self) -> int:
        """Updates so far."""
        return self.training.step

    @property
    def last(self) -> Path:
        """The checkpoint from which it is resumed."""
        return self.training.last(self.run)

    def resume(self) -> dict[str, int] | None:
        """Take over what was saved, where anything was; returns the CSV offsets it holds."""
        return self.training.resume(self.run)

    def save(self, metrics: MetricsLog) -> None:
        """Write `last`."""
        self.training.save(self.run, metrics)


def steady_training(
    kind: str,
    model: M,
    optimizer: Optimizer,
    log_interval: int,
    part: str,
    facts: dict[str, Any] | None = None,
) -> Training[M]:
    """A training at one learning rate, without an end of its own."""
    steady = LambdaLR(optimizer, lambda step: 1.0)
    return Training(
        kind, model, optimizer, steady, Best(), log_interval, facts=facts or {}, part=part
    )
