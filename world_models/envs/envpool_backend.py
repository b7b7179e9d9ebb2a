"""EnvPool's C++ CarRacing: the slots that are reset together share one pool."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.quiet import quiet_gym
from world_models.envs.slots import Transitions
from world_models.envs.spec import EnvSpec

ENVPOOL_IDS = ("CarRacing-v3",)


def envpool_installed() -> bool:
    """Whether EnvPool can be imported."""
    return importlib.util.find_spec("envpool") is not None


class EnvPoolVectorEnv(PixelVectorEnv):
    """Slots are members of pools.

    EnvPool fixes a member's seed when its pool is made, so a reset makes a new pool. A pool goes
    when its last slot has moved on. Pools work at the same time, on `num_threads` threads each.
    The game is Gymnasium's. But a seed is another track than there, and flat colours are brighter
    by 2 of 255.
    """

    def __init__(self, env_spec: EnvSpec, num_envs: int, num_threads: int = 1) -> None:
        super().__init__(env_spec, num_envs)
        self._num_threads = num_threads
        # per slot
        self._pools: list[Any] = [None] * num_envs
        # per slot: its index inside its pool
        self._members = np.zeros(num_envs, np.int32)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        with quiet_gym():
            import envpool

            pool = envpool.make(
                self.env_spec.id,
                env_type="gymnasium",
                num_envs=len(seeds),
                num_threads=self._num_threads,
                seed=seeds,
                max_episode_steps=self.env_spec.max_episode_steps,
                render_mode="rgb_array",
            )
        self._members[slots] = np.arange(len(seeds))
        for slot in slots:
            self._pools[slot] = pool
        return list(pool.reset()[0])

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        rows_of: dict[int, list[int]] = {}
        for row, slot in enumerate(slots):
            rows_of.setdefault(id(self._pools[slot]), []).append(row)
        for rows in rows_of.values():
            self._pools[slots[rows[0]]].send(actions[rows], self._members[slots[rows]])
        pictures: list[np.ndarray] = [np.empty(0)] * len(slots)
        rewards = np.zeros(len(slots), np.float32)
        terminated, truncated = np.zeros((2, len(slots)), bool)
        for rows in rows_of.values():
            shown, *numbers, info = self._pools[slots[rows[0]]].recv()
            assert np.array_equal(info["env_id"], self._members[slots[rows]]), (
                info["env_id"],
                rows,
            )
            rewards[rows], terminated[rows], truncated[rows] = numbers
            for row, picture in zip(rows, shown, strict=True):
                pictures[row] = picture
        return pictures, rewards, terminated, truncated

    def _render(self, slot: int) -> np.ndarray:
        return self._pools[slot].render(env_ids=int(self._members[slot]))[0]

    def close_extras(self, **kwargs: Any) -> None:
        """Let every pool go, and its threads with it."""
        self._pools.clear()
