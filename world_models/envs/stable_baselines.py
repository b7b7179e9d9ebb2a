"""A Gymnasium vector environment as Stable-Baselines3 takes it; needs that package."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from world_models.envs.quiet import quiet_gym

with quiet_gym():
    from stable_baselines3.common.vec_env import VecEnv


class StableBaselinesEnv(VecEnv):
    """All slots of a vector environment with SAME_STEP autoreset, stepped as one batch.

    Seeds are taken modulo 2**31, since Stable-Baselines3 draws larger ones.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv) -> None:
        if envs.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise ValueError(
                "Stable-Baselines3 begins an episode in the step that ends the one before: "
                "make the environment with autoreset_mode=AutoresetMode.SAME_STEP"
            )
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        """Begin an episode in every slot, of the seeds that `seed` gave before."""
        seeds = [None if seed is None else seed % 2**31 for seed in self._seeds]
        self._reset_seeds()
        observations, _ = self.envs.reset(seed=seeds)  # type: ignore[arg-type]
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions (N, ...) of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations (N, ...), rewards (N,), which episodes ended (N,), and one info a slot.

        That of an ended episode says what it showed last, and whether it was cut.
        """
        observations, rewards, terminated, truncated, given = self.envs.step(self._actions)
        ended = terminated | truncated
        cut = truncated & ~terminated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(one)} for one in cut]
        for slot in np.flatnonzero(ended):
            infos[slot]["terminal_observation"] = given["final_obs"][slot]
        return observations, rewards, ended, infos

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()

    def get_images(self) -> Sequence[Any]:
        """The picture of every slot, for `render`."""
        return self.envs.render() or ()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, which all slots share."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Slots have no attributes of their own: an AttributeError."""
        raise AttributeError(f"slots share {attr_name}: set it on the environment that is wrapped")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Slots have no methods of their own: an AttributeError."""
        raise AttributeError(f"slots share {method_name}: call it on the environment itself")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No slot is wrapped by itself."""
        return [False for _ in self._get_indices(indices)]
