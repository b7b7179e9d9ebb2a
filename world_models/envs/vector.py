"""PixelVectorEnv: what every batch of environments shares, whatever steps it."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from world_models.envs.spec import EnvSpec

Transitions = tuple[Sequence[np.ndarray], np.ndarray, np.ndarray, np.ndarray]
"""Raw pictures, rewards, terminated and truncated of the slots that were stepped."""


class PixelVectorEnv(gymnasium.vector.VectorEnv):
    """A batch of slots, each running one episode at a time; a slot without an episode is idle.

    A backend gives `_begin`, `_advance` and, if it can, `_render` and `close_extras`.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"
    has_final_frame: bool = True
    """False where the frame that comes with the end already belongs to another episode."""

    def __init__(self, env_spec: EnvSpec, num_envs: int) -> None:
        self.env_spec = env_spec
        self.num_envs = num_envs
        pre = env_spec.preprocessing
        shape = (pre.size, pre.size, pre.channels)
        self.single_observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.single_action_space = env_spec.action_space.to_gymnasium()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.alive = np.zeros(num_envs, bool)
        self._frames = np.zeros((num_envs, *shape), np.uint8)
        self._pictures = [np.zeros((pre.size, pre.size, 3), np.uint8)] * num_envs
        self._begun = np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every slot, or in those of `options["reset_mask"]` (bool, (N,)).

        `seed` holds one episode seed in [0, 2**31) for each slot that is reset, in slot order; a number stands for it and
        those that follow, None for new ones (after a number: always the same).
        Returns the frames of all slots, uint8 (N, size, size, channels), and an empty dictionary.
        """
        mask = (options or {}).get("reset_mask")
        slots = np.arange(self.num_envs) if mask is None else np.flatnonzero(self._checked(mask))
        if seed is None or isinstance(seed, int):
            seed = self._seeds_from(seed, len(slots))
        if len(seed) != len(slots):
            raise ValueError(
                f"{len(seed)} seeds given for {len(slots)} slots to reset: give one for each"
            )
        if not all(0 <= value < 2**31 for value in seed):
            raise ValueError(
                f"episode seeds must lie in [0, 2**31), not {min(seed)} to {max(seed)}"
            )
        if len(slots):
            self._keep(slots, self._begin(slots, [int(value) for value in seed]))
            self.alive[slots] = self._begun[slots] = True
        return self._frames.copy(), {}

    def _seeds_from(self, first: int | None, count: int) -> list[int]:
        if first is None:
            return self.np_random.integers(2**31, size=count).tolist()
        self.np_random = np.random.default_rng(first)
        return [(first + number) % 2**31 for number in range(count)]

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Repeat one action per slot `frame_skip` times, or until the episode ends; idle slots are left alone.

        Takes environment actions (N, ...). Returns frames uint8 (N, size, size, channels), summed rewards
        float32 (N,), terminated bool (N,), truncated bool (N,), and an empty dictionary.
        """
        assert len(actions) == self.num_envs, (len(actions), self.num_envs)
        rewards = np.zeros(self.num_envs, np.float32)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        stepped = np.flatnonzero(self.alive)
        pictures: dict[int, np.ndarray] = {}
        for _ in range(self.env_spec.frame_skip):
            slots = np.flatnonzero(self.alive)
            if not len(slots):
                break
            shown, gained, terminated[slots], truncated[slots] = self._advance(
                slots, actions[slots]
            )
            rewards[slots] += gained
            pictures.update(zip(slots.tolist(), shown, strict=True))
            self.alive &= ~(terminated | truncated)
        self._keep(stepped, [pictures[slot] for slot in stepped.tolist()])
        return self._frames.copy(), rewards, terminated, truncated, {}

    def stop(self, mask: np.ndarray) -> None:
        """End the episodes of the slots in `mask` (bool, (N,)); they stay idle until they are reset."""
        self.alive &= ~self._checked(mask)

    def render(self) -> tuple[np.ndarray, ...]:
        """The picture of every slot, before preprocessing: uint8 (H, W, 3) each; black where nothing ever began."""
        return tuple(
            self._render(slot) if begun else self._pictures[slot]
            for slot, begun in enumerate(self._begun)
        )

    def _checked(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        assert mask.dtype == bool and mask.shape == (self.num_envs,), (mask.dtype, mask.shape)
        return mask

    def _keep(self, slots: np.ndarray, pictures: Sequence[np.ndarray]) -> None:
        self._frames[slots] = self.env_spec.preprocessing.apply(pictures)
        for slot, picture in zip(slots.tolist(), pictures, strict=True):
            self._pictures[slot] = picture

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        """Begin an episode in each of `slots`; return its first raw pictures, uint8 (H, W, 3) each."""
        raise NotImplementedError

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        """One environment step in each of `slots`, whose episodes all run."""
        raise NotImplementedError

    def _render(self, slot: int) -> np.ndarray:
        """The picture of a slot that has begun an episode."""
        return self._pictures[slot]
