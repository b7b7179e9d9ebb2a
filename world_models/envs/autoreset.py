"""Slots behind the interfaces that strangers' code expects: Gymnasium's vector and single ones."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from world_models.envs.slots import SlotVectorEnv

Stepped = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]
"""Observations (N, ...), rewards (N,), terminated (N,), truncated (N,) and infos."""


class Autoreset(gymnasium.vector.VectorWrapper):
    """Slots in which the next episode begins by itself, as in Gymnasium's own vector environments.

    With NEXT_STEP a slot whose episode has ended begins another at the next step, whose action
    it ignores. With SAME_STEP it does so at once, and `infos["final_obs"]` holds what the ended
    episode showed last. With DISABLED the caller resets it through `options["reset_mask"]`.

    The seeds of a slot's later episodes follow from its first one, not from the slots beside it.
    """

    env: SlotVectorEnv

    def __init__(
        self, envs: SlotVectorEnv, mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    ) -> None:
        super().__init__(envs)
        self.mode = _mode(mode)
        self.metadata = {**envs.metadata, "autoreset_mode": self.mode}
        self._draws = [np.random.default_rng() for _ in range(envs.num_envs)]
        # slots that begin anew at the next step
        self._due = np.zeros(envs.num_envs, bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every slot, or in those of `options["reset_mask"]` (bool, (N,)).

        `seed` is that of slot 0, and the next numbers are those of the others; or a list with one
        for each of the N slots, where None goes on with the slot's own draws.
        """
        mask = (options or {}).get("reset_mask")
        chosen = np.ones(self.num_envs, bool) if mask is None else self._checked(mask)
        self._due &= ~chosen
        return self._begin(chosen, self._seeds(seed)), {}

    def step(self, actions: np.ndarray) -> Stepped:
        """One step of every slot; a slot that begins anew gets the reward 0.

        A slot without an episode that does not begin one by itself is a ValueError, as is an
        action outside the action space.
        """
        given = _inside(self.env, actions)
        idle = np.flatnonzero(~(self.env.alive | self._due))
        if idle.size:
            raise ValueError(f"slots {idle.tolist()} have no episode: reset them before a step")
        observations, rewards, terminated, truncated, infos = self.env.step(given)
        ended = terminated | truncated
        if self.mode is AutoresetMode.SAME_STEP and ended.any():
            infos = self._final(observations, ended)
            observations = self._begin(ended)
        if self.mode is AutoresetMode.NEXT_STEP:
            if self._due.any():
                observations = self._begin(self._due)
            self._due = ended
        return observations, rewards, terminated, truncated, infos

    def _begin(self, mask: np.ndarray, seeds: Sequence[int | None] | None = None) -> np.ndarray:
        """A new episode in the slots of `mask`: of their seeds, or of those that they draw."""
        given = seeds or [None] * self.num_envs
        episodes = [self._episode(slot, given[slot]) for slot in np.flatnonzero(mask)]
        return self.env.reset(seed=episodes, options={"reset_mask": mask})[0]

    def _episode(self, slot: int, seed: int | None) -> int:
        if seed is None:
            return drawn_seed(self._draws[slot])
        self._draws[slot] = np.random.default_rng(seed)
        return seed

    def _final(self, observations: np.ndarray, ended: np.ndarray) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for slot in np.flatnonzero(ended):
            final = {"final_obs": observations[slot].copy(), "final_info": {}}
            infos = self._add_info(infos, final, int(slot))
        return infos

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """One for each slot."""
        if seed is None:
            return [None] * self.num_envs
        if not isinstance(seed, Sequence | np.ndarray):
            first = whole_seed(seed)
            return [first + slot for slot in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(
                f"{len(seed)} seeds given for {self.num_envs} slots: give one for each"
            )
        return [None if one is None else whole_seed(one) for one in seed]

    def _checked(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (self.num_envs,):
            raise ValueError(
                f"options['reset_mask'] is {mask.dtype} {mask.shape}: give bool ({self.num_envs},)"
            )
        return mask


class SingleEnv(gymnasium.Env):
    """One slot as an environment of its own.

    An episode is that of `reset(seed=...)`; without a seed the next one is drawn.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, slots: SlotVectorEnv, render_mode: str | None = "rgb_array") -> None:
        assert slots.num_envs == 1, slots.num_envs
        self.slots = slots
        self.render_mode = render_mode
        self.observation_space = slots.single_observation_space
        self.action_space = slots.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode."""
        given = None if seed is None else whole_seed(seed)
        super().reset(seed=given)
        episode = drawn_seed(self.np_random) if given is None else given
        return self.slots.reset(seed=[episode])[0][0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; without an episode, or outside the action space, it is a ValueError."""
        given = _inside(self.slots, np.asarray(action)[None])
        if not self.slots.alive[0]:
            raise ValueError("there is no episode: reset the environment before a step")
        observations, rewards, terminated, truncated, _ = self.slots.step(given)
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray:
        """What a person sees: uint8 (H, W, 3)."""
        return self.slots.render()[0]

    def close(self) -> None:
        """Close the slot."""
        self.slots.close()


def whole_seed(seed: Any) -> int:
    """The seed as a number; what cannot be one of an episode is a ValueError."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise ValueError(f"seed is {seed!r}: an episode's is a whole number in [0, 2**31)")
    return int(seed)


def drawn_seed(draws: np.random.Generator) -> int:
    """The seed of an episode."""
    return int(draws.integers(2**31))


def _inside(slots: SlotVectorEnv, actions: np.ndarray) -> np.ndarray:
    """The actions (N, ...), none of which a model or an environment was not made for."""
    given = np.asarray(actions)
    kinds = "iu" if slots.env_spec.action_space.kind == "discrete" else "iuf"
    if given.dtype.kind not in kinds:
        raise ValueError(f"actions are {given.dtype}, which is not of {slots.single_action_space}")
    if given.shape != slots.action_space.shape:
        raise ValueError(f"actions are {given.shape}, not {slots.action_space.shape}")
    if not slots.env_spec.action_space.contains(given).all():
        raise ValueError(f"actions {given.tolist()} are not all in {slots.single_action_space}")
    return given


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode, or that of this value, as Gymnasium writes it."""
    try:
        return AutoresetMode(mode)
    except ValueError:
        names = ", ".join(one.value for one in AutoresetMode)
        raise ValueError(f"autoreset_mode={mode} is none of {names}") from None
