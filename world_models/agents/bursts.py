"""Bursts: now and then an episode's actions are taken away from the agent for some steps."""

from collections.abc import Sequence

import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.runs import seeding

STEPS = (10, 40)
"""A burst is so many steps long, uniformly drawn."""
HELD = 0.5
"""Of the bursts: in these one action is held; in the others each step draws its own."""


class Bursts:
    """Random actions in place of the agent's, for 10 to 40 steps at a time.

    The agent then finds itself where it would never have gone, and its way back is seen, too. In
    half of the bursts one random action is held, in the others every step has its own. Each
    episode is disturbed for a share of its steps of its own, uniform between 0 and `most`. What a
    row does depends on its seed alone.
    """

    def __init__(self, space: ActionSpace, most: float) -> None:
        """`most` lies in [0, 1)."""
        self.space = space
        self.most = most

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._generators = [seeding.generator(seed, "bursts") for seed in seeds]
        self.shares = np.array([self.most * draw.random() for draw in self._generators])
        # steps that are left of the current burst, and the action that it holds
        self._left = np.zeros(len(seeds), int)
        self._held: list[np.ndarray | None] = [None] * len(seeds)

    def disturb(self, actions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The actions (n, ...) of the rows (n,), those in a burst replaced."""
        disturbed = actions.copy()
        for i, row in enumerate(rows):
            if self._left[row] or self._begins(row):
                self._left[row] -= 1
                held = self._held[row]
                disturbed[i] = self._draw(row) if held is None else held
        return disturbed

    def _begins(self, row: int) -> bool:
        """Whether a burst begins now: as often as makes the row's share of steps disturbed."""
        draw, share = self._generators[row], self.shares[row]
        if draw.random() >= share / (share + (1 - share) * np.mean(STEPS)):
            return False
        self._left[row] = draw.integers(STEPS[0], STEPS[1] + 1)
        self._held[row] = self._draw(row) if draw.random() < HELD else None
        return True

    def _draw(self, row: int) -> np.ndarray:
        return self.space.sample(self._generators[row], 1)[0]
