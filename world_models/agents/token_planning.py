"""Planning in a world of tokens: real episodes as it sees them, and the policy that plans."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from world_models.agents.planning import PlanningPolicy
from world_models.agents.sequences import PlanConfig
from world_models.models.token_world import TokenState
from world_models.worlds.token import TokenWorld
from world_models.worlds.world import joined


@dataclass
class _Recent:
    """The newest frames of an episode as tokens (1, gh, gw), and what was done between them."""

    tokens: list[Tensor] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)


class TokenMemory:
    """A `Sight`: the last frames of each row, as many as the world has seen where it begins.

    Rows are encoded one by one, so that no row depends on those beside it.
    """

    def __init__(self, world: TokenWorld) -> None:
        self.world = world

    def reset(self, seeds: Sequence[int]) -> None:
        """As in `Sight`."""
        self.rows = [_Recent() for _ in seeds]

    def see(self, observations: np.ndarray, rows: np.ndarray) -> None:
        """As in `Sight`; observations are frames (n, H, W, C) uint8."""
        for row, frame in zip(rows, observations, strict=True):
            recent = self.rows[row]
            tokens = [*recent.tokens, self.world.encode(frame[None])]
            recent.tokens = tokens[-self.world.context :]
            recent.actions = recent.actions[len(recent.actions) + 1 - len(recent.tokens) :]

    def states(self, rows: np.ndarray) -> TokenState:
        """As in `Sight`."""
        return joined([self._state(self.rows[row]) for row in rows])

    def _state(self, recent: _Recent) -> TokenState:
        none = torch.zeros(0, self.world.env.action_space.size, device=self.world.device)
        actions = torch.cat([none, *recent.actions])
        return self.world.after(torch.cat(recent.tokens)[None], actions[None])

    def remember(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """As in `Sight`."""
        given = torch.from_numpy(self.world.env.action_space.to_model(actions))
        for row, action in zip(rows, given.to(self.world.device), strict=True):
            self.rows[row].actions.append(action[None])


def token_planner(world: TokenWorld, cfg: PlanConfig) -> PlanningPolicy:
    """Plans among the likeliest futures of a world of tokens; no controller proposes."""
    likeliest = replace(world, temperature=0.0)
    return PlanningPolicy(likeliest, TokenMemory(likeliest), cfg)
