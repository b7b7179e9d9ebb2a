"""SlotVectorEnv: slots, seeds, masks and frame skip, whatever is observed and whatever steps it."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from world_models.envs.spec import EnvSpec

RawObservations = Sequence[np.ndarray] | np.ndarray
"""One raw observation for each of some slots."""
Transitions = tuple[RawObservations, np.ndarray, np.ndarray, np.ndarray]
"""Raw observations, rewards, terminated and truncated of the slots that were stepped."""


class SlotVectorEnv(gymnasium.vector.VectorEnv):
    """A batch of slots, each running one episode at a time; a slot without an episode is idle.

    A subclass gives `_begin`, `_advance` and `render`, and `_keep` where what it is given is not
    yet what an agent observes.
    """

    metadata = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.DISABLED,
        "render_modes": ["rgb_array"],
    }
    render_mode = "rgb_array"
    has_final_frame: bool = True
    """False where the observation that comes with the end already belongs to another episode."""

    def __init__(self, env_spec: EnvSpec, num_envs: int, observation: gymnasium.spaces.Box) -> None:
        """`observation` is the space of what one slot shows."""
        self.env_spec = env_spec
        self.num_envs = num_envs
        self.single_observation_space = observation
        self.single_action_space = env_spec.action_space.to_gymnasium()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.alive = np.zeros(num_envs, bool)
        self._observations = np.zeros((num_envs, *observation.shape), observation.dtype)
        self._begun = np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every slot, or in those of `options["reset_mask"]` (bool, (N,)).

        `seed` holds one episode seed in [0, 2**31) for each slot that is reset, in slot order; a
        number stands for it and those that follow, None for new ones (after a number: always the
        same). Returns the observations (N, ...) of all slots, and an empty dictionary.
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
            self.alive[slots] = True
            self._begun[slots] = True
        return self._observations.copy(), {}

    def _seeds_from(self, first: int | None, count: int) -> list[int]:
        if first is None:
            return self.np_random.integers(2**31, size=count).tolist()
        self.np_random = np.random.default_rng(first)
        return [(first + number) % 2**31 for number in range(count)]

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Repeat one action per slot `frame_skip` times, or until the episode ends.

        Idle slots are left alone. Takes environment actions (N, ...). Returns observations
        (N, ...), summed rewards float32 (N,), terminated bool (N,), truncated bool (N,), and an
        empty dictionary.
        """
        assert len(actions) == self.num_envs, (len(actions), self.num_envs)
        rewards = np.zeros(self.num_envs, np.float32)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        stepped = np.flatnonzero(self.alive)
        newest: dict[int, np.ndarray] = {}
        for _ in range(self.env_spec.frame_skip):
            slots = np.flatnonzero(self.alive)
            if not len(slots):
                break
            shown, gained, terminated[slots], truncated[slots] = self._advance(
                slots, actions[slots]
            )
            rewards[slots] += gained
            newest.update(zip(slots.tolist(), shown, strict=True))
            self.alive &= ~(terminated | truncated)
        self._keep(stepped, [newest[slot] for slot in stepped.tolist()])
        return self._observations.copy(), rewards, terminated, truncated, {}

    def render(self) -> tuple[np.ndarray, ...]:
        """What a person sees of every slot: uint8 (H, W, 3) each."""
        raise NotImplementedError

    def stop(self, mask: np.ndarray) -> None:
        """End the episodes of the slots in `mask` (bool, (N,)); they are idle until reset."""
        self.alive &= ~self._checked(mask)

    def _checked(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        assert mask.dtype == bool and mask.shape == (self.num_envs,), (mask.dtype, mask.shape)
        return mask

    def _keep(self, slots: np.ndarray, shown: RawObservations) -> None:
        """Take over what `slots` show now: what `_begin` or `_advance` gave, one for each."""
        for slot, observation in zip(slots.tolist(), shown, strict=True):
            self._observations[slot] = observation

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> RawObservations:
        """Begin an episode in each of `slots`; return its first raw observation."""
        raise NotImplementedError

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        """One environment step in each of `slots`, whose episodes all run."""
        raise NotImplementedError
