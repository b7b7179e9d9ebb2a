"""Procgen behind gymnasium.make: gym3, then old Gym, then Gymnasium."""

from typing import Any

import gymnasium
import numpy as np

from world_models.envs.procgen import checked_kwargs, make_gym3, require_procgen
from world_models.envs.quiet import quiet_gym


def make_registered(game: str, render_mode: str | None = None, **kwargs: Any) -> gymnasium.Env:
    """The environment behind `WorldModels/Procgen-<game>-v0`.

    Takes num_levels, start_level, rand_seed and distribution_mode. `reset(seed=...)` draws levels
    from that seed in place of `rand_seed`. Rendering gives the observation.
    """
    require_procgen()
    kwargs = checked_kwargs(game, kwargs)
    with quiet_gym():
        import gym3
        import shimmy

        class Levels(gym3.ToGymEnv):
            """gym3's adapter, made to follow seeds and early resets.

            By itself it ignores them, and prints so.
            """

            def __init__(self, rand_seed: int) -> None:
                env = make_gym3(game, **{**kwargs, "rand_seed": rand_seed})
                super().__init__(gym3.ExtractDictObWrapper(env, key="rgb"))
                self.running = False

            def reset(self) -> Any:
                if self.running:
                    # Procgen's own early reset
                    self.env.act(np.array([-1]))
                self.running = True
                return super().reset()

            def step(self, action: int) -> Any:
                observation, reward, ended, info = super().step(action)
                self.running = not ended
                return observation, reward, ended, info

            def render(self, mode: str | None = None) -> Any:
                return self.env.observe()[1][0]

            def seed(self, seed: int) -> None:
                self.__init__(seed)  # type: ignore[misc]

        return shimmy.GymV21CompatibilityV0(
            env=Levels(kwargs["rand_seed"]), render_mode=render_mode
        )
