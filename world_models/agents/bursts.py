"""Bursts: now and then an episode's actions are taken away from the agent for some steps."""

from collections.abc import Sequence

import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.runs import seeding

STEPS = (10, 40)
"""A burst is so many steps long, uniformly drawn."""
STUCK = 0.5
"""Of the bursts: in these the agent's action is held; in the others a random one."""


class Bursts:
    """For some steps at a time (10 to 40) an action is held, whatever the agent wants.

    The agent then finds itself where it would never have gone, and its way back is seen, too. In a
    share `stuck` of the bursts (half) the action that it had just chosen is held; in the others one
    number of the action, drawn at random, while it decides on the rest (of discrete actions it is
    the whole one).
    Each episode is disturbed for a share of its steps of its own, uniform between 0 and `most`.
    What a row does depends on its seed and its agent alone.
    """

    def __init__(
        self,
        space: ActionSpace,
        most: float,
        steps: tuple[int, int] = STEPS,
        stuck: float = STUCK,
    ) -> None:
        """`most` lies in [0, 1). `steps`: of the shortest and the longest burst."""
        self.space = space
        self.most = most
        self.steps = steps
        self.stuck = stuck

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._generators = [seeding.generator(seed, "bursts") for seed in seeds]
        self.shares = np.array([self.most * draw.random() for draw in self._generators])
        # of the current burst: steps that are left, the action, and which numbers of it are held
        self._left = np.zeros(len(seeds), int)
        self._action = np.zeros((len(seeds), *self.space.shape), self.space.dtype)
        self._held = np.zeros((len(seeds), *self.space.shape), bool)

    def disturb(self, actions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The actions (n, ...) of the rows (n,), those in a burst replaced."""
        for action, row in zip(actions, rows, strict=True):
            if self._left[row]:
                self._left[row] -= 1
            elif self._generators[row].random() < self._chance(row):
                self._begin(row, action)
            else:
                self._held[row] = False
        return np.where(self._held[rows], self._action[rows], actions)

    def _chance(self, row: int) -> float:
        """That a burst begins now: as often as makes the row's share of its steps disturbed."""
        share = float(self.shares[row])
        return share / (share + (1 - share) * float(np.mean(self.steps)))

    def _begin(self, row: int, action: np.ndarray) -> None:
        draw = self._generators[row]
        self._left[row] = draw.integers(self.steps[0], self.steps[1] + 1) - 1
        self._held[row] = True
        if draw.random() < self.stuck:
            self._action[row] = action
            return
        self._action[row] = self.space.sample(draw, 1)[0]
        if self.space.kind == "box":
            self._held[row] = np.arange(self.space.size) == draw.integers(self.space.size)
