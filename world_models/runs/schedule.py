"""Schedules: what follows from a watched loss that no longer falls, and what is settled by the number of steps."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


@dataclass
class EarlyStopping:
    """Counts evaluations without improvement.

    `mode` is "min" or "max"; `threshold` is the least improvement that counts, a share of the best value with
    `threshold_mode="rel"` or the value itself with "abs" (the meaning torch's ReduceLROnPlateau gives them).
    """

    patience: int
    mode: str = "min"
    threshold: float = 0.0
    threshold_mode: str = "rel"
    best: float | None = None
    waited: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode is {self.mode!r}; it must be 'min' or 'max'")
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"threshold_mode is {self.threshold_mode!r}; it must be 'rel' or 'abs'"
            )

    def update(self, value: float) -> bool:
        """Take the newest value; True when it is an improvement."""
        if math.isnan(value):
            raise ValueError("the watched value is NaN")
        improved = self.best is None or self._better(value, self.best)
        self.best = value if improved else self.best
        self.waited = 0 if improved else self.waited + 1
        return improved

    @property
    def should_stop(self) -> bool:
        """True once `patience` evaluations in a row brought no improvement."""
        return self.waited >= self.patience

    def _better(self, value: float, best: float) -> bool:
        margin = self.threshold * (abs(best) if self.threshold_mode == "rel" else 1.0)
        return value < best - margin if self.mode == "min" else value > best + margin

    def state_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; patience and mode stay those of the constructor."""
        self.best, self.waited = state["best"], state["waited"]


def check_factor(factor: float) -> None:
    """A factor by which no learning rate can be lowered is a ValueError."""
    if not 0 < factor < 1:
        raise ValueError(f"stage.scheduler_factor is {factor}; it must lie between 0 and 1")


def plateau(optimizer: Optimizer, factor: float, patience: int) -> ReduceLROnPlateau:
    """torch's scheduler; any fall of the loss counts as one (its own relative threshold misjudges losses below 0)."""
    return ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=0.0)


def warmup_cosine(optimizer: Optimizer, steps: int, warmup: float) -> LambdaLR:
    """The learning rate rises linearly over the first `warmup` of the steps, then falls to 0 along a cosine
    (Loshchilov & Hutter 2017, eq. 5, one period)."""
    rise = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))

    return LambdaLR(optimizer, factor)


@dataclass(frozen=True)
class Phase:
    """Steps `first` to `last`, the latter not included, in which a model is rolled on for `unroll` frames."""

    unroll: int
    first: int
    last: int


def phases(unroll: Sequence[int], shares: Sequence[float], steps: int) -> list[Phase]:
    """A curriculum: each horizon in turn has its share of the steps."""
    ends = np.round(np.cumsum(shares) / np.sum(shares) * steps).astype(int).tolist()
    return [Phase(*each) for each in zip(unroll, [0, *ends[:-1]], ends, strict=True)]
