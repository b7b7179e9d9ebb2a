"""Fitness of many controllers on many tracks: blocks of episodes that workers play."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import Agent, WorldModelPolicy
from world_models.agents.planning import planner
from world_models.agents.policy import Policy, RandomPolicy
from world_models.agents.quarantine import Advance
from world_models.agents.rollout import Film, Score, play, record
from world_models.agents.sequences import PlanConfig
from world_models.agents.token_agent import TokenAgent
from world_models.agents.trained import load_planner
from world_models.envs.make import Backend, EnvSpec, make_vector_env
from world_models.models.controller import ControllerInputs
from world_models.pools.pool import Pool
from world_models.worlds.latent import WorldModel, load_world_model
from world_models.worlds.opening import DreamerFiles

ROUNDS_PER_BLOCK = 2
"""Episodes per slot in a block of candidates: a slot that falls free early takes another."""


@dataclass(frozen=True)
class Block:
    """Episodes played by one worker: row i plays `seeds[i]` with controller `vectors[i]`."""

    # (n, parameters) float32; (1, parameters): one controller; None: the random policy
    vectors: np.ndarray | None
    seeds: tuple[int, ...]
    max_steps: int | None = None
    early_cut: int = 0
    # whether it is asked for films instead of scores
    filmed: bool = False
    # how it plans around its controllers; None: these play
    plan: PlanConfig | None = None

    def singles(self) -> list["Block"]:
        """Its episodes, each as a block of its own: they come to the same."""
        return [self._part([row]) for row in range(len(self.seeds))]

    def with_seeds(self, seeds: tuple[int, ...]) -> "Block":
        """The same with as many other seeds."""
        return replace(self, seeds=seeds)

    def without(self, tracks: Container[int]) -> list["Block"]:
        """The block without its episodes on these tracks; empty where none is left."""
        left = [row for row, seed in enumerate(self.seeds) if seed not in tracks]
        return [self._part(left)] if left else []

    def _part(self, rows: list[int]) -> "Block":
        own = self.vectors is not None and len(self.vectors) == len(self.seeds)
        vectors = self.vectors[rows] if own and self.vectors is not None else self.vectors
        return replace(self, vectors=vectors, seeds=tuple(self.seeds[row] for row in rows))


@dataclass(frozen=True)
class Models:
    """Where a worker finds V and M: in an agent.pt, or in the checkpoints of their stages."""

    env: dict[str, Any]
    agent: Path | None = None
    vae: Path | None = None
    mdrnn: Path | None = None
    # how C sees V and M of the checkpoints
    controller_inputs: ControllerInputs = field(default_factory=ControllerInputs)
    # where an agent of tokens plans
    planned_in: DreamerFiles | None = None

    def load(self, device: str) -> WorldModel | TokenAgent:
        """Read the files; an agent of tokens is whole, without a controller to be given."""
        if self.agent is not None:
            agent = load_planner(self.agent, self.planned_in, device)
            return agent.world if isinstance(agent, Agent) else agent
        assert self.vae is not None and self.mdrnn is not None, self
        return load_world_model(
            self.vae, self.mdrnn, EnvSpec.from_dict(self.env), self.controller_inputs, device
        )


def build_player(
    models: Models, backend: str, width: int, device: str, threads: int = 1
) -> Callable[[Block], list[Score] | list[Film]]:
    """What runs in a worker: returns the function that plays a block.

    Models are loaded and environments made once.
    """
    world = models.load(device)
    envs = make_vector_env(world.env, Backend(backend), width, threads)

    def play_block(block: Block) -> list[Score] | list[Film]:
        policy = policy_of(block, world)
        if block.filmed:
            return record(envs, policy, block.seeds, max_steps=block.max_steps)
        return play(envs, policy, block.seeds, max_steps=block.max_steps, early_cut=block.early_cut)

    return play_block


def policy_of(block: Block, world: WorldModel | TokenAgent) -> Policy:
    """Who plays a block."""
    if block.vectors is None:
        return RandomPolicy(world.env.action_space)
    if isinstance(world, TokenAgent):
        return world.policy() if block.plan is None else world.planner(block.plan)
    if block.plan is not None:
        return planner(world, block.plan, block.vectors)
    return WorldModelPolicy(world, block.vectors)


def play_blocks(pool: Pool, blocks: Sequence[Block], advance: Advance) -> list[Score]:
    """Scores of all episodes in the order of the blocks.

    An episode that cannot be played is a WorkerError.
    """
    results: list[list[Score]] = [[] for _ in blocks]
    for index, scores in pool.map(blocks):
        results[index] = scores
        advance(len(scores), sum(score.length for score in scores))
    return [score for scores in results for score in scores]


def film_episodes(
    pool: Pool,
    vector: np.ndarray,
    scores: Sequence[Score],
    advance: Advance,
    plan: PlanConfig | None = None,
) -> list[Film]:
    """Films of episodes that one controller (parameters,) played before, each a job of its own."""
    rows = vector.astype(np.float32)[None]
    blocks = [Block(rows, (score.seed,), score.length, filmed=True, plan=plan) for score in scores]
    films: dict[int, Film] = {}
    for index, (film,) in pool.map(blocks):
        films[index] = film
        advance(1, len(film.observations))
    return [films[index] for index in range(len(blocks))]


def block_size(episodes: int, width: int, workers: int) -> int:
    """Episodes in a block: a worker's fair share, but no more than two rounds of its slots.

    Where that makes more blocks than workers, whoever is done first takes another. It changes no
    result.
    """
    return max(1, min(ROUNDS_PER_BLOCK * width, -(-episodes // workers)))


def candidate_blocks(
    population: np.ndarray,
    seeds: Sequence[int] | np.ndarray,
    size: int,
    max_steps: int | None,
    early_cut: int = 0,
) -> list[Block]:
    """Every candidate (P, parameters) on its seeds, cut into blocks of `size` episodes.

    seeds (n,), the same for all, or (P, n). Episodes go candidate by candidate.
    """
    seeds = np.broadcast_to(seeds, (len(population), np.shape(seeds)[-1]))
    vectors = np.repeat(population.astype(np.float32), seeds.shape[1], axis=0)
    tracks = seeds.flatten().tolist()
    blocks = []
    for start in range(0, len(tracks), size):
        rows = slice(start, start + size)
        blocks.append(Block(vectors[rows], tuple(tracks[rows]), max_steps, early_cut))
    return blocks


def single_blocks(
    vector: np.ndarray | None,
    seeds: Sequence[int],
    width: int,
    max_steps: int | None = None,
    plan: PlanConfig | None = None,
) -> list[Block]:
    """One controller (None: the random policy) on every seed, in blocks of `width` episodes."""
    rows = None if vector is None else vector.astype(np.float32)[None]
    return [
        Block(rows, tuple(seeds[start : start + width]), max_steps, plan=plan)
        for start in range(0, len(seeds), width)
    ]
