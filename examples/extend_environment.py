"""An environment of your own: a square slides down a slope, and the action pushes it back up.

It is played by its module and id: env=gymnasium env.id=extend_environment:Slope-v0
"""

import gymnasium
import numpy as np


class Slope(gymnasium.Env):
    """An episode ends at the bottom; each step above it is worth 1."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(2)
        self.observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.height = int(self.np_random.integers(16, 48))
        return self.render(), {}

    def step(self, action):
        self.height = min(self.height + (3 if action else -4), 56)
        return self.render(), 1.0, self.height <= 0, False, {}

    def render(self):
        picture = np.full((64, 64, 3), 40, np.uint8)
        top = 56 - max(self.height, 0)
        picture[top : top + 8, 28:36] = (250, 180, 60)
        return picture


gymnasium.register("Slope-v0", Slope, max_episode_steps=30)
