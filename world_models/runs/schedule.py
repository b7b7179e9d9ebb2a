"""Schedules: what follows from a watched loss, and what follows from the number of steps."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


@dataclass(frozen=True)
class Every:
    """Says when it is time: at each `steps`-th step, and at the step `last`, where one is given."""

    steps: int
    last: int | None = None

    def __call__(self, step: int) -> bool:
        """Whether it is time after so many steps."""
        return step % self.steps == 0 or step == self.last


def until_next(step: int, last: int, *intervals: int) -> int:
    """Steps from `step` to the next one at which one of the intervals is full, or to the last."""
    return min(last - step, *(every - step % every for every in intervals))


@dataclass
class Best:
    """Keeps the lowest of the values that are watched."""

    best: float | None = field(default=None, kw_only=True)

    def update(self, value: float) -> bool:
        """Take the newest value; True when it is the lowest yet. NaN is a ValueError."""
        if math.isnan(value):
            raise ValueError("the watched value is NaN")
        if self.best is not None and value >= self.best:
            return False
        self.best = value
        return True

    @property
    def should_stop(self) -> bool:
        """Whether training ends because of these values: it does not."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` of this class or of EarlyStopping gave."""
        self.best = state["best"]


@dataclass
class EarlyStopping(Best):
    """Keeps the lowest value, and counts the evaluations since."""

    patience: int
    waited: int = field(default=0, kw_only=True)

    def update(self, value: float) -> bool:
        """See Best."""
        improved = super().update(value)
        self.waited = 0 if improved else self.waited + 1
        return improved

    @property
    def should_stop(self) -> bool:
        """True once `patience` evaluations in a row brought no improvement."""
        return self.waited >= self.patience

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; patience stays that of the constructor."""
        super().load_state_dict(state)
        self.waited = state["waited"]


def check_factor(factor: float) -> None:
    """A factor by which no learning rate can be lowered is a ValueError."""
    if not 0 < factor < 1:
        raise ValueError(f"stage.scheduler_factor is {factor}; it must lie between 0 and 1")


def plateau(optimizer: Optimizer, factor: float, patience: int) -> ReduceLROnPlateau:
    """torch's scheduler, for which any fall of the loss counts.

    Its own threshold is relative, and misjudges losses below 0.
    """
    return ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=0.0)


def warmup_cosine(optimizer: Optimizer, steps: int, warmup: float) -> LambdaLR:
    """The learning rate rises linearly over the share `warmup` of the steps, then falls to 0.

    It falls along a cosine (Loshchilov & Hutter 2017, eq. 5, one period).
    """
    rise = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))

    return LambdaLR(optimizer, factor)


@dataclass(frozen=True)
class Phase:
    """Steps `first` up to `last`, not included: the model is rolled on for `unroll` frames."""

    unroll: int
    first: int
    last: int


def phases(unroll: Sequence[int], shares: Sequence[float], steps: int) -> list[Phase]:
    """A curriculum: each horizon in turn has its share of the steps."""
    ends = np.round(np.cumsum(shares) / np.sum(shares) * steps).astype(int).tolist()
    return [Phase(*each) for each in zip(unroll, [0, *ends[:-1]], ends, strict=True)]
