"""A dream as an environment, in which policies play as they do outside."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import gymnasium
import numpy as np
import torch

from world_models.envs.slots import RawObservations, SlotVectorEnv, Transitions
from world_models.models.draws import RowDraws
from world_models.worlds.dreaming import Dream, Reward, RewardFunction, Rules
from world_models.worlds.inference import padded
from world_models.worlds.opening import WorldDials, dreaming_run, open_world
from world_models.worlds.starts import Starts
from world_models.worlds.world import place, select

log = logging.getLogger(__name__)

REWARD_KEYS = {"pixel": "stage.rewards=true", "mdrnn": "stage.include_reward=true"}
"""The key with which each stage trains a reward head."""


class DreamEnv(SlotVectorEnv):
    """Agents observe what the dream's world lets them read.

    Every slot is a row of a batch that is always equally wide, so an episode depends on its seed
    and actions alone. An episode terminates where the dream ends it, and is truncated at its last
    step.
    """

    def __init__(self, dream: Dream, num_envs: int) -> None:
        self.dream = dream
        self.world = dream.world
        width = padded(num_envs)
        self._seeds, self._steps = torch.zeros(
            2, width, dtype=torch.int64, device=self.world.device
        )
        first = dream.begin(self._seeds[:1])
        spec = replace(self.world.env, frame_skip=1, max_episode_steps=dream.rules.max_steps)
        super().__init__(spec, num_envs, observed(self.world.observe(first)[0]))
        # contiguous: float kernels depend on how rows lie in memory
        self._state = first._make(part.new_zeros(width, *part.shape[1:]) for part in first)

    def render(self) -> tuple[np.ndarray, ...]:
        """What a person sees of every slot: uint8 (H, W, 3); black where nothing ever began."""
        with torch.inference_mode():
            shown = self.world.picture(self._state).cpu().numpy()
        return tuple(
            picture if begun else np.zeros_like(picture)
            for picture, begun in zip(shown[: self.num_envs], self._begun, strict=True)
        )

    @torch.inference_mode()
    def _begin(self, slots: np.ndarray, seeds: list[int]) -> RawObservations:
        rows = self._rows(slots)
        self._seeds[rows] = torch.tensor(seeds, device=rows.device)
        self._steps[rows] = 0
        begun = self.dream.begin(self._seeds[rows])
        self._state = place(self._state, rows, begun)
        return self.world.observe(begun).cpu().numpy()

    @torch.inference_mode()
    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        rows = self._rows(slots)
        draws = RowDraws(self._seeds, self._steps)
        after = self.dream.step(self._state, self._given(rows, actions), draws, self._steps)
        reached = select(after.state, rows)
        self._state = place(self._state, rows, reached)
        self._steps[rows] += 1
        rewards, ended, late = (
            part[rows].cpu().numpy() for part in (after.rewards, after.ended, after.late)
        )
        return self.world.observe(reached).cpu().numpy(), rewards, ended, late

    def _rows(self, slots: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(slots).to(self._seeds.device)

    def _given(self, rows: torch.Tensor, actions: np.ndarray) -> torch.Tensor:
        """Environment actions (n, ...) of the rows -> those of all (B, A), as models read them."""
        space = self.env_spec.action_space
        given = torch.zeros(len(self._seeds), space.size, device=rows.device)
        given[rows] = torch.from_numpy(space.to_model(actions)).to(given)
        return given


def observed(example: torch.Tensor) -> gymnasium.spaces.Box:
    """The space of what a row shows: frames are uint8, anything else is float32 without bounds."""
    if example.dtype == torch.uint8:
        return gymnasium.spaces.Box(0, 255, tuple(example.shape), np.uint8)
    return gymnasium.spaces.Box(-np.inf, np.inf, tuple(example.shape), np.float32)


def open_dream(
    run: str | Path,
    num_envs: int,
    max_steps: int = 200,
    device: str = "cpu",
    *,
    reward: Reward | RewardFunction = Reward.head,
    end: float | None = 0.5,
    starts: Starts = Starts.anywhere,
    **dials: Unpack[WorldDials],
) -> DreamEnv:
    """The dream of a finished run whose model dreams, or of the one in a chain of stages.

    See `open_world` for the world and its dials, `Rules` for the rest. Of M what an agent observes
    is what C sees, [z, h]; `render` shows what V makes of z. Heads that the dream needs and the
    model lacks are named in a warning.
    """
    dream = Dream(open_world(run, device, starts=starts, **dials), Rules(reward, end, max_steps))
    warn_of_missing_heads(dream, run)
    return DreamEnv(dream, num_envs)


@torch.inference_mode()
def warn_of_missing_heads(dream: Dream, run: str | Path) -> None:
    """Say what a dream lacks, after one step of it."""
    world, past = dream.world, dreaming_run(run)
    number = torch.zeros(1, dtype=torch.int64, device=world.device)
    still = torch.zeros(1, world.env.action_space.size, device=world.device)
    after = world.advance(dream.begin(number), still, RowDraws(number, number))
    if after.reward is None and dream.rules.reward is Reward.head:
        key = REWARD_KEYS[past.stage]
        log.warning("%s predicts no rewards: all are 0; train it with %s", past.name, key)
    if after.done is None:
        log.warning(
            "%s predicts no ends: every episode lasts max_steps; train it with stage.ends=true",
            past.name,
        )
