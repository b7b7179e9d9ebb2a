"""Gymnasium's own environments, one per slot, stepped in turn."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.road import keep_road
from world_models.envs.slots import Transitions
from world_models.envs.spec import EnvSpec


class GymnasiumVectorEnv(PixelVectorEnv):
    """Slots are environments that `make_env` gives.

    Their observations are pictures, uint8 (H, W, 3).
    """

    def __init__(
        self, env_spec: EnvSpec, make_env: Callable[[], gymnasium.Env], num_envs: int
    ) -> None:
        self._make_env = make_env
        self._envs = [make_env() for _ in range(num_envs)]
        super().__init__(env_spec, num_envs)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        for slot in slots:
            if self._begun[slot] and _remembers(self._envs[slot]):
                self._envs[slot].close()
                self._envs[slot] = self._make_env()
        pairs = zip(slots, seeds, strict=True)
        return [self._envs[slot].reset(seed=seed)[0] for slot, seed in pairs]

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        steps = [self._envs[slot].step(action) for slot, action in zip(slots, actions, strict=True)]
        pictures, rewards, terminated, truncated, _ = zip(*steps, strict=True)
        return (
            pictures,
            np.array(rewards, np.float32),
            np.array(terminated, bool),
            np.array(truncated, bool),
        )

    def _render(self, slot: int) -> np.ndarray:
        env = self._envs[slot]
        if env.render_mode != "rgb_array":
            return self._pictures[slot]
        keep_road(env.unwrapped)
        return np.asarray(env.render())

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def _remembers(env: gymnasium.Env) -> bool:
    """Whether it has a Box2D world.

    That world's order of contacts, and so its rounding, outlives a reset.
    """
    return type(getattr(env.unwrapped, "world", None)).__module__.startswith("Box2D")
