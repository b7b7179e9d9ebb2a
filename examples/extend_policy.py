"""A policy of your own: python examples/extend_policy.py stage=rollout stage.policy=rounds"""

import sys

import numpy as np

from world_models.agents.policy import POLICIES
from world_models.main import main


class Rounds:
    """Goes through all numbered actions, each for as many steps as the episode's seed says."""

    def __init__(self, space):
        if space.kind != "discrete":
            raise ValueError("stage.policy=rounds needs Discrete actions")
        self.space = space

    def reset(self, seeds):
        """Begin one episode per seed."""
        self.steps = np.zeros(len(seeds), int)
        self.each = np.array([1 + seed % 3 for seed in seeds])

    def act(self, frames, rows):
        """Actions (n,) for frames (n, H, W, C) of the episodes `rows` (n,)."""
        number = self.steps[rows] // self.each[rows]
        self.steps[rows] += 1
        return self.space.start + number % self.space.size


POLICIES["rounds"] = Rounds

if __name__ == "__main__":
    sys.exit(main())
