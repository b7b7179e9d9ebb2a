"""The action space as plain values.

It squashes raw numbers to an environment's bounds, and gives the form that a model reads.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

LARGEST_RAW = 2.0
"""The largest raw number that an action is taken back to."""
RAW_OF_ZERO = -0.5
"""The raw number that a `positive` action of 0 is taken back to."""


class Squash(Enum):
    """How a raw number becomes an action.

    `affine` spans [low, high]; `positive` is max(tanh, 0) * high.
    """

    affine = "affine"
    positive = "positive"


@dataclass(frozen=True)
class Noise:
    """Mean and standard deviation, per action, of raw actions (before squashing)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def standard(cls, size: int) -> "Noise":
        """Standard normal for `size` actions."""
        return cls((0.0,) * size, (1.0,) * size)


@dataclass(frozen=True)
class ActionSpace:
    """A one-dimensional box or a discrete space."""

    # "box" or "discrete"
    kind: str
    # A: dimensions of the box, or number of discrete actions
    size: int
    # per box dimension
    low: tuple[float, ...]
    high: tuple[float, ...]
    # per box dimension, a name of `Squash`
    squash: tuple[str, ...]
    # the first discrete action
    start: int = 0

    @classmethod
    def from_gymnasium(cls, space: gymnasium.Space, squash: Sequence[Squash]) -> "ActionSpace":
        """Describe a Gymnasium space; an empty `squash` means affine everywhere.

        ValueError where the space is not supported, or `squash` does not fit it.
        """
        if isinstance(space, gymnasium.spaces.Discrete):
            if squash:
                raise ValueError(
                    f"env.squash is for box actions, but this environment has {space}: "
                    "leave it empty"
                )
            return cls("discrete", int(space.n), (), (), (), int(space.start))
        if not isinstance(space, gymnasium.spaces.Box):
            raise ValueError(
                f"action space {space} is not supported: "
                "use an environment with a Box or Discrete one"
            )
        return cls._from_box(space, list(squash) or [Squash.affine] * int(np.prod(space.shape)))

    @classmethod
    def _from_box(cls, space: gymnasium.spaces.Box, squash: list[Squash]) -> "ActionSpace":
        finite = bool((np.abs([space.low, space.high]) <= np.finfo(np.float32).max).all())
        is_row = len(space.shape) == 1 and space.shape[0] > 0
        if not is_row or not finite or not np.issubdtype(space.dtype, np.floating):
            raise ValueError(
                f"action space {space} is not supported: "
                "a Box must be 1-D, of one float or more, with finite bounds"
            )
        if len(squash) != space.shape[0]:
            raise ValueError(
                f"env.squash has {len(squash)} entries, "
                f"but {space} needs {space.shape[0]}, one each"
            )
        low = tuple(map(float, space.low))
        high = tuple(map(float, space.high))
        for dim, kind in enumerate(squash):
            if kind is Squash.positive and not low[dim] <= 0 < high[dim]:
                raise ValueError(
                    f"env.squash[{dim}]=positive needs low <= 0 < high, "
                    f"not [{low[dim]}, {high[dim]}]"
                )
        return cls("box", len(low), low, high, tuple(kind.value for kind in squash))

    def to_gymnasium(self) -> gymnasium.Space:
        """The same space for Gymnasium."""
        if self.kind == "discrete":
            return gymnasium.spaces.Discrete(self.size, start=self.start)
        low, high = (bound.astype(np.float32) for bound in self._bounds)
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ActionSpace":
        """The inverse of `to_dict`."""
        tuples = {key: tuple(values[key]) for key in ("low", "high", "squash")}
        return cls(**{**values, **tuples})

    @property
    def dtype(self) -> np.dtype:
        """float32 for a box, int64 for a discrete space."""
        return np.dtype(np.float32 if self.kind == "box" else np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one action: (A,) or ()."""
        return (self.size,) if self.kind == "box" else ()

    def from_raw(self, raw: np.ndarray) -> np.ndarray:
        """Environment actions of unbounded numbers (B, A) float32.

        Squashed (B, A) float32 for a box, the argmax (B,) int64 for a discrete space.
        """
        if self.kind == "discrete":
            return self.start + raw.argmax(axis=-1).astype(np.int64)
        low, high = self._bounds
        tanh = np.tanh(raw, dtype=np.float32)
        affine = low + (tanh + 1) / 2 * (high - low)
        squashed = np.where(self._positive, np.maximum(tanh, 0) * high, affine)
        return np.clip(squashed, low, high).astype(np.float32)

    def to_raw(self, actions: np.ndarray) -> np.ndarray:
        """Numbers (B, A) float32 that `from_raw` takes to these actions.

        They are one-hot rows where actions are discrete. In a box none is larger than LARGEST_RAW.
        So a bound itself, which tanh never reaches, is missed by 2 % of the range. Any number up to
        0 gives a `positive` action of 0: RAW_OF_ZERO stands for it.
        """
        if self.kind == "discrete":
            return self.to_model(actions)
        low, high = self._bounds
        tanh = np.where(self._positive, actions / high, 2 * (actions - low) / (high - low) - 1)
        most = np.tanh(LARGEST_RAW)
        raw = np.arctanh(np.clip(tanh, -most, most))
        return np.where(self._positive & (actions <= 0), RAW_OF_ZERO, raw).astype(np.float32)

    def to_model(self, actions: np.ndarray) -> np.ndarray:
        """What a model reads: (..., A) float32.

        Box actions are unchanged, discrete ones become one-hot rows.
        """
        if self.kind == "box":
            return np.asarray(actions, np.float32)
        return np.eye(self.size, dtype=np.float32)[np.asarray(actions) - self.start]

    def contains(self, actions: np.ndarray) -> np.ndarray:
        """Which of the actions (T, A) float32 or (T,) int64 lie in the space: (T,) bool.

        Numbers that are not finite do not.
        """
        if self.kind == "discrete":
            return (actions >= self.start) & (actions < self.start + self.size)
        low, high = self._bounds
        return ((actions >= low) & (actions <= high)).all(axis=-1)

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` actions, uniform over the space: (count, A) float32 or (count,) int64."""
        if self.kind == "discrete":
            return self.start + rng.integers(self.size, size=count, dtype=np.int64)
        low, high = self._bounds
        return np.clip(rng.uniform(low, high, (count, self.size)).astype(np.float32), low, high)

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """float32; float64 where a difference would overflow."""
        low, high = np.array(self.low), np.array(self.high)
        wide = (high - low > np.finfo(np.float32).max).any()
        dtype = np.float64 if wide else np.float32
        return low.astype(dtype), high.astype(dtype)

    @cached_property
    def _positive(self) -> np.ndarray:
        return np.array([kind == Squash.positive.value for kind in self.squash])
