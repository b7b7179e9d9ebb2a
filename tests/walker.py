"""A world of a few lines, whose dreams can be worked out by hand."""

from typing import NamedTuple

import numpy as np
import torch

from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.draws import Draws
from world_models.worlds.world import Advance


class Walk(NamedTuple):
    """Where each row stands."""

    # (B, 2)
    place: torch.Tensor


class Walker:
    """A world of a few lines: each action moves a row, noise shakes it, it ends far from home."""

    num_starts = 5
    device = torch.device("cpu")

    def __init__(self, shake: float = 0.0) -> None:
        self.shake = shake
        space = ActionSpace("discrete", 2, (), (), ())
        self.env = EnvSpec("Walk-v0", {}, Preprocessing((0, 0, 0, 0), 16, False), 4, space, None)

    def begin(self, starts: np.ndarray, draws: Draws) -> Walk:
        return Walk(torch.stack([torch.from_numpy(starts).float(), torch.zeros(len(starts))], 1))

    def advance(self, state: Walk, actions: torch.Tensor, draws: Draws) -> Advance[Walk]:
        place = state.place + actions + self.shake * draws.normal(state.place)
        return Advance(Walk(place), place[:, 1], place[:, 1] - 5)

    def observe(self, state: Walk) -> torch.Tensor:
        return state.place

    def picture(self, state: Walk) -> torch.Tensor:
        return state.place.byte()[:, :1, None, None].expand(-1, 16, 16, 3)
