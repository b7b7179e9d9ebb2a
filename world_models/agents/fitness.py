"""Fitness of many controllers on many tracks: blocks of episodes that workers play."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import WorldModel, WorldModelPolicy, load_agent, load_world_model
from world_models.agents.policy import Policy, RandomPolicy
from world_models.agents.rollout import Score, play
from world_models.agents.workers import Failure, Pool, WorkerError
from world_models.envs.make import Backend, EnvSpec, make_vector_env
from world_models.models.controller import Sight
from world_models.runs.metrics import MetricsLog

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

    def singles(self) -> list["Block"]:
        """Its episodes, each as a block of its own: they come to the same."""
        rows = range(len(self.seeds))
        own = self.vectors is not None and len(self.vectors) == len(self.seeds)
        vectors = [self.vectors[row : row + 1] if own and self.vectors is not None else self.vectors for row in rows]
        return [replace(self, vectors=vectors[row], seeds=self.seeds[row : row + 1]) for row in rows]


@dataclass(frozen=True)
class Models:
    """Where a worker finds V and M: in an agent.pt, or in the checkpoints of their stages, with how C sees them."""

    env: dict[str, Any]
    agent: Path | None = None
    vae: Path | None = None
    mdrnn: Path | None = None
    sight: Sight = field(default_factory=Sight)

    def load(self, device: str) -> WorldModel:
        """Read the files."""
        if self.agent is not None:
            return load_agent(self.agent, device=device).world
        assert self.vae is not None and self.mdrnn is not None, self
        return load_world_model(self.vae, self.mdrnn, EnvSpec.from_dict(self.env), self.sight, device)


def build_player(models: Models, backend: str, width: int, device: str) -> Callable[[Block], list[Score]]:
    """What runs in a worker: models are loaded and environments made once; returns the function that plays a block."""
    world = models.load(device)
    envs = make_vector_env(world.env, Backend(backend), width)

    def play_block(block: Block) -> list[Score]:
        policy: Policy = RandomPolicy(world.env.action_space)
        if block.vectors is not None:
            policy = WorldModelPolicy(world, block.vectors)
        scores = play(envs, policy, block.seeds, max_steps=block.max_steps, early_cut=block.early_cut)
        broken = [score.seed for score in scores if not np.isfinite(score.total_return)]
        if broken:
            raise ValueError(f"{world.env.id} gave a reward that is NaN or infinite in the episode of seed {broken[0]}")
        return scores

    return play_block


def play_blocks(pool: Pool, blocks: Sequence[Block], advance: Callable[[int, int], None]) -> list[Score]:
    """Scores of all episodes in the order of the blocks; `advance(episodes, steps)` is called as blocks are done.

    An episode that cannot be played is a WorkerError.
    """
    results: list[list[Score]] = [[] for _ in blocks]
    for index, scores in pool.map(blocks):
        results[index] = scores
        advance(len(scores), sum(score.length for score in scores))
    return [score for scores in results for score in scores]


def play_what_can_be(pool: Pool, blocks: Sequence[Block], advance: Callable[[int, int], None]) -> list[Score]:
    """As `play_blocks`, but an episode that cannot be played is quarantined: a Score with the cause.

    A block that fails each time is taken apart and its episodes are tried one by one.
    """
    results: list[list[Score]] = [[] for _ in blocks]
    broken: list[int] = []
    for index, outcome in pool.attempt(blocks):
        if isinstance(outcome, Failure):
            broken.append(index)
            continue
        results[index] = outcome
        advance(len(outcome), sum(score.length for score in outcome))
    for index in sorted(broken):
        singles, scores = blocks[index].singles(), results[index]
        alone = dict(pool.attempt(singles))
        for place, single in enumerate(singles):
            outcome = alone[place]
            cause = outcome.cause if isinstance(outcome, Failure) else ""
            scores += [Score(single.seeds[0], float("nan"), 0, cause)] if cause else outcome
        advance(len(scores), sum(score.length for score in scores))
    return [score for scores in results for score in scores]


def set_aside(scores: list[Score], players: list[str], generation: int, metrics: MetricsLog) -> None:
    """Write down the episodes that could not be played, of players with as many each. Half of them end the run with the cause."""
    lost = [(place, score) for place, score in enumerate(scores) if score.failure]
    for place, score in lost:
        player = players[place * len(players) // len(scores)]
        metrics.write(
            "quarantine", {"generation": generation, "player": player, "seed": score.seed, "cause": score.failure}
        )
    if 2 * len(lost) >= len(scores):
        raise WorkerError(
            f"{len(lost)} of {len(scores)} episodes of generation {generation} could not be played: {lost[-1][1].failure}"
        )


def block_size(episodes: int, width: int, workers: int) -> int:
    """Episodes in a block: a worker's fair share, but no more than two rounds of its `width` slots, so that whoever is
    done first takes another block. It changes no result."""
    return max(1, min(ROUNDS * width, -(-episodes // workers)))


def candidate_blocks(
    population: np.ndarray, seeds: Sequence[int] | np.ndarray, size: int, max_steps: int | None, early_cut: int = 0
) -> list[Block]:
    """Every candidate (P, parameters) on every seed, candidate by candidate, cut into blocks of `size` episodes.

    seeds (n,), the same for all, or (P, n).
    """
    seeds = np.broadcast_to(seeds, (len(population), np.shape(seeds)[-1]))
    vectors = np.repeat(population.astype(np.float32), seeds.shape[1], axis=0)
    tracks = seeds.flatten().tolist()
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
