"""A world of your own, in which policies play as in every other: [<episodes>]"""

import sys
from typing import NamedTuple

import torch

from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import play
from world_models.envs.config import EnvConfig
from world_models.envs.make import make_spec
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.world import Advance


class Place(NamedTuple):
    """Where each row stands: (B, 1)."""

    x: torch.Tensor


class Drift:
    """Noise drives a row along a line, an action moves it; far from home its episode ends."""

    env = make_spec(EnvConfig(id="WorldModels/Pellet-v0"))
    device = torch.device("cpu")
    num_starts = 3

    def begin(self, starts, draws):
        return Place(torch.from_numpy(starts).float()[:, None])

    def advance(self, state, actions, draws):
        x = state.x + 0.1 * draws.normal(state.x) + actions[:, :1]
        return Advance(Place(x), reward=x[:, 0], done=x[:, 0] - 5)

    def observe(self, state):
        return state.x

    def picture(self, state):
        shade = (20 * state.x).clamp(0, 255).byte()
        return shade[:, :, None, None].expand(-1, 64, 64, 3)


def main(episodes=4):
    """The scores of the random policy in it."""
    envs = DreamEnv(Dream(Drift(), Rules(max_steps=20)), num_envs=4)
    return play(envs, RandomPolicy(Drift.env.action_space), range(episodes))


if __name__ == "__main__":
    print(*main(*map(int, sys.argv[1:])), sep="\n")
