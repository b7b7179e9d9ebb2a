"""Dreams: a world, and the rules by which its episodes are rewarded and end."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from world_models.models.draws import Draws, RowDraws
from world_models.runs import seeding
from world_models.runs.numbers import require_finite
from world_models.worlds.world import Advance, World

BEGINNING = -1
"""The step of the noise with which an episode begins."""


class Reward(Enum):
    """What a world itself rewards."""

    # what its head predicts; 0 where it has none
    head = "head"
    # 1 for each frame of the game: a step has as many as the environment skips
    survival = "survival"


RewardFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Rewards (B,) of what rows showed before a step (B, ...), of their actions (B, A) as models read
them, and of what they show after it (B, ...). Rows that are over are among them, so each number
depends on its own row alone."""


@dataclass(frozen=True)
class Rules:
    """What is rewarded in an episode, when it ends, and after how many steps it is cut."""

    reward: Reward | RewardFunction = Reward.head
    # it ends where the predicted probability is above this; None: drawn with that probability
    end: float | None = 0.5
    max_steps: int = 200

    def __post_init__(self) -> None:
        require_finite("a dream's ", self, "end")
        require_finite("a dream's ", self, "max_steps", whole=True)
        if self.end is not None and not 0 < self.end < 1:
            raise ValueError(
                f"a dream's end is {self.end}; it must be a probability between 0 and 1, or none"
            )
        if self.max_steps < 1:
            raise ValueError(f"a dream's max_steps is {self.max_steps}; it must be 1 or more")


@dataclass(frozen=True)
class Outcome:
    """What one step of B rows came to."""

    # the world's: a NamedTuple of tensors (B, ...)
    state: Any
    # (B,) float32
    rewards: Tensor
    # (B,) bool: the world ended the episode
    ended: Tensor
    # (B,) bool: it was cut at its last step, and not ended
    late: Tensor
    # (B,) the logit of the end, as it was predicted; None where the world predicts none
    done: Tensor | None


@dataclass(frozen=True)
class Dream:
    """Rows of episodes that begin at stored places and go on in a world alone, on tensors.

    An episode is a function of its seed and actions, whatever rows stand beside it, so rows may be
    dropped, reordered, or share a seed.
    """

    world: World[Any]
    rules: Rules = field(default_factory=Rules)

    def begin(self, seeds: Tensor) -> Any:
        """The state of B episodes of these seeds, int64 (B,) on the world's device.

        A seed chooses the stored place, and all noise of its episode.
        """
        places = self.world.num_starts
        starts = [seeding.generator(seed, "dream").integers(places) for seed in seeds.tolist()]
        draws = RowDraws(seeds, torch.full_like(seeds, BEGINNING))
        return self.world.begin(np.array(starts), draws)

    def step(self, state: Any, actions: Tensor, draws: Draws, steps: Tensor) -> Outcome:
        """One step of all rows, with actions (B, A) as models read them.

        `steps`, int64 (B,), are those that each row has made before; `draws` are usually
        `RowDraws(seeds, steps)`.
        """
        after = self.world.advance(state, actions, draws)
        rewards = self._rewards(state, actions, after)
        ended = torch.zeros_like(rewards, dtype=torch.bool)
        if after.done is not None:
            ended = ends(after.done, self.rules.end, draws)
        late = ~ended & (steps + 1 >= self.rules.max_steps)
        return Outcome(after.state, rewards, ended, late, after.done)

    def _rewards(self, state: Any, actions: Tensor, after: Advance[Any]) -> Tensor:
        rule, none = self.rules.reward, actions.new_zeros(len(actions), dtype=torch.float32)
        if rule is Reward.survival:
            return none + self.world.env.frame_skip
        if rule is Reward.head:
            return none if after.reward is None else after.reward.float()
        assert not isinstance(rule, Reward), rule
        rewards = rule(self.world.observe(state), actions, self.world.observe(after.state))
        return _checked(rewards, len(actions)).float()


def _checked(rewards: Any, rows: int) -> Tensor:
    """What a user's reward function gave, if it is one finite number for each row."""
    found = "the dream's reward function gave"
    if not isinstance(rewards, Tensor):
        raise ValueError(f"{found} {type(rewards).__name__}; it must give a tensor")
    if rewards.shape != (rows,):
        raise ValueError(
            f"{found} {tuple(rewards.shape)} for {rows} rows; it must give one number for each"
        )
    if not rewards.isfinite().all():
        raise ValueError(f"{found} NaN or infinite numbers")
    return rewards


def ends(done: Tensor, end: float | None, draws: Draws) -> Tensor:
    """Which of the rows of these logits (B,) end, by a rule of `Rules.end`: bool (B,)."""
    if end is None:
        # an exponential is below softplus(x) with probability sigmoid(x)
        return draws.exponential(done) < softplus(done)
    return done > math.log(end / (1 - end))
