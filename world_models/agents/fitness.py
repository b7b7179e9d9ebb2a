"""Fitness of many controllers on many tracks: blocks of episodes that workers play."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import WorldModel, WorldModelPolicy, load_agent, load_world_model
from world_models.agents.policy import Policy, RandomPolicy
from world_models.agents.rollout import Score, play
from world_models.agents.workers import WorkerPool
from world_models.envs.make import Backend, EnvSpec, make_vector_env

ROUNDS = 2
"""Episodes per slot in a block of candidates: a slot that falls free early takes another, so that few stand idle."""


@dataclass(frozen=True)
class Block:
    """Episodes played by one worker: row i plays `seeds[i]` with controller `vectors[i]`.

    `vectors` (n, parameters) float32, (1, parameters) for one controller, or None for the random policy.
    """

    vectors: np.ndarray | None
    seeds: tuple[int, ...]
    max_steps: int | None = None
    early_cut: int = 0


@dataclass(frozen=True)
class Models:
    """Where a worker finds V and M: in an agent.pt, or in the checkpoints of their stages."""

    env: dict[str, Any]
    agent: Path | None = None
    vae: Path | None = None
    mdrnn: Path | None = None

    def load(self, device: str) -> WorldModel:
        """Read the files."""
        if self.agent is not None:
            return load_agent(self.agent, device=device).world
        assert self.vae is not None and self.mdrnn is not None, self
        return load_world_model(self.vae, self.mdrnn, EnvSpec.from_dict(self.env), device)


def build_player(models: Models, backend: str, width: int, device: str) -> Callable[[Block], list[Score]]:
    """What runs in a worker: models are loaded and environments made once; returns the function that plays a block."""
    world = models.load(device)
    envs = make_vector_env(world.env, Backend(backend), width)

    def play_block(block: Block) -> list[Score]:
        policy: Policy = RandomPolicy(world.env.action_space)
        if block.vectors is not None:
            policy = WorldModelPolicy(world, block.vectors)
        return play(envs, policy, block.seeds, max_steps=block.max_steps, early_cut=block.early_cut)

    return play_block


def play_blocks(pool: WorkerPool, blocks: Sequence[Block], advance: Callable[[int, int], None]) -> list[Score]:
    """Scores of all episodes in the order of the blocks; `advance(episodes, steps)` is called as blocks are done."""
    results: list[list[Score]] = [[] for _ in blocks]
    for index, scores in pool.map(blocks):
        results[index] = scores
        advance(len(scores), sum(score.length for score in scores))
    return [score for scores in results for score in scores]


def candidate_blocks(
    population: np.ndarray, seeds: Sequence[int], width: int, max_steps: int | None, early_cut: int
) -> list[Block]:
    """Every candidate (P, parameters) on every seed, candidate by candidate, cut into blocks for workers of `width` slots."""
    size = ROUNDS * width
    vectors = np.repeat(population.astype(np.float32), len(seeds), axis=0)
    tracks = list(seeds) * len(population)
    return [
        Block(vectors[start : start + size], tuple(tracks[start : start + size]), max_steps, early_cut)
        for start in range(0, len(tracks), size)
    ]


def single_blocks(
    vector: np.ndarray | None, seeds: Sequence[int], width: int, max_steps: int | None = None
) -> list[Block]:
    """One controller (None: the random policy) on every seed, cut into blocks of `width` episodes."""
    rows = None if vector is None else vector.astype(np.float32)[None]
    return [Block(rows, tuple(seeds[start : start + width]), max_steps) for start in range(0, len(seeds), width)]
