"""One episode as arrays, and what the values of `done` mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RUNNING, TERMINATED, TRUNCATED = 0, 1, 2
"""Values of `done`: the episode goes on, it ended by the rules, it was cut off (a time limit)."""

UNKNOWN_SEED = -1
"""The seed of an episode that somebody else recorded without saying it."""


@dataclass(frozen=True)
class Episode:
    """T transitions in T+1 rows.

    frames[t] was seen and actions[t] executed; rewards[t], done[t] and frames[t+1] followed. The
    last row of actions, rewards and done is padding: zeros.
    """

    seed: int
    # (T+1, H, W, C), 0 to 255
    frames: npt.NDArray[np.uint8]
    # (T+1, A) float32, or (T+1,) int64 where actions are numbered
    actions: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    # (T+1,)
    rewards: npt.NDArray[np.float32]
    # (T+1,), RUNNING, TERMINATED or TRUNCATED
    done: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        rows = len(self.frames)
        assert rows >= 2, f"an episode needs one transition and so two rows, not {rows}"
        assert self.frames.ndim == 4 and self.frames.dtype == np.uint8, (
            self.frames.shape,
            self.frames.dtype,
        )
        assert (self.actions.ndim, self.actions.dtype) in ((2, np.float32), (1, np.int64)), (
            self.actions.shape,
            self.actions.dtype,
        )
        assert self.rewards.shape == (rows,) and self.rewards.dtype == np.float32, (
            self.rewards.shape,
            self.rewards.dtype,
        )
        assert self.done.shape == (rows,) and self.done.dtype == np.uint8, (
            self.done.shape,
            self.done.dtype,
        )
        assert len(self.actions) == rows, f"{len(self.actions)} actions for {rows} frames"
        for name in ("actions", "rewards", "done"):
            assert not getattr(self, name)[-1].any(), (
                f"the last row of {name} is padding and must be 0"
            )
        assert not self.done[:-2].any(), (
            f"done before the last of {rows - 1} transitions: {np.flatnonzero(self.done)}"
        )

    @classmethod
    def of_steps(
        cls,
        seed: int,
        frames: Sequence[np.ndarray],
        actions: Sequence[np.ndarray],
        rewards: Sequence[float],
        done: Sequence[int],
    ) -> "Episode":
        """T+1 frames (H, W, C) and what was done and followed in T steps; the padding is added."""
        return cls(
            seed=seed,
            frames=np.stack(frames),
            actions=np.stack([*actions, np.zeros_like(actions[0])]),
            rewards=np.array([*rewards, 0.0], np.float32),
            done=np.array([*done, RUNNING], np.uint8),
        )

    @property
    def length(self) -> int:
        """Number of transitions T."""
        return len(self.frames) - 1

    @property
    def total_return(self) -> float:
        """Undiscounted sum of rewards, added in float64."""
        return float(self.rewards.sum(dtype=np.float64))
