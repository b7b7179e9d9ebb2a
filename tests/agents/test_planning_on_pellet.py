"""Planning in a dream without errors reaches the pellet in the real environment."""

import numpy as np
from agents.toy_worlds import Clear, TableWorld, Tile

from world_models.agents.planning import PlanningPolicy
from world_models.agents.policy import Policy, RandomPolicy
from world_models.agents.rollout import play
from world_models.agents.sequences import Method, PlanConfig
from world_models.envs.make import Backend, EnvConfig, make_spec, make_vector_env
from world_models.envs.pellet import BOARD_SIZE, MOVES

SPEC = make_spec(EnvConfig(id="WorldModels/Pellet-v0"))
NUM_TILES = BOARD_SIZE**2


def success(policy: Policy, episodes: int = 30) -> float:
    """The share of episodes in which the pellet is reached."""
    envs = make_vector_env(SPEC, Backend.gymnasium, 10)
    return float(np.mean([score.total_return for score in play(envs, policy, range(episodes))]))


def tiles_of(frames: np.ndarray) -> np.ndarray:
    """Tiles (n, 2) of the blue disc and of the orange one in frames (n, 64, 64, 3) uint8."""
    red, blue = frames[..., 0].astype(float), frames[..., 2].astype(float)
    middles = ((np.arange(BOARD_SIZE) + 0.5) * 64 / BOARD_SIZE).astype(int)
    shown = np.stack([blue - red, red - blue], axis=1)[:, :, middles][..., middles]
    return shown.reshape(len(frames), 2, NUM_TILES).argmax(2)


def pellet_world() -> TableWorld:
    """Pellet's rules; a tile is a pair of tiles."""
    positions = np.stack(np.divmod(np.arange(NUM_TILES), BOARD_SIZE), axis=1)
    moved = np.clip(positions[:, None] + MOVES, 0, BOARD_SIZE - 1) @ [BOARD_SIZE, 1]
    agent, pellet = np.divmod(np.arange(NUM_TILES**2), NUM_TILES)
    eaten = moved[agent] == pellet[:, None]
    return TableWorld(
        eaten, np.where(eaten, 20.0, -20.0), moved[agent] * NUM_TILES + pellet[:, None]
    )


class Eyes(Clear):
    """Sees the pair of tiles in a frame."""

    def see(self, observations: np.ndarray, rows: np.ndarray) -> None:
        super().see(tiles_of(observations) @ [NUM_TILES, 1], rows)


def test_in_a_dream_without_errors_planning_reaches_the_pellet() -> None:
    cfg = PlanConfig(Method.icem, horizon=10, candidates=48, discount=0.95)
    assert success(RandomPolicy(SPEC.action_space)) < 0.4
    assert success(PlanningPolicy(pellet_world(), Eyes(Tile), cfg)) >= 0.9
