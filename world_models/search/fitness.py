"""Fitness of many controllers on many tracks: blocks of episodes that workers play."""

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import WorldModelPolicy, load_agent
from world_models.agents.policy import Policy, RandomPolicy
from world_models.agents.rollout import Score, play
from world_models.envs.make import Backend, EnvSpec, make_vector_env
from world_models.measures.search_rows import QuarantineRow
from world_models.models.controller import ControllerInputs
from world_models.pools.pool import Failure, Pool, WorkerError
from world_models.runs.metrics import MetricsLog
from world_models.worlds.latent import WorldModel, load_world_model

ROUNDS = 2
"""Episodes per slot in a block of candidates: a slot that falls free early takes another, so that few stand idle."""
HANGS = 2
"""Episodes of a track that hang before it is left alone: each costs two deadlines."""
HUNG = Failure("its track hung again and again, and was not played")


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
        return [self._part([row]) for row in range(len(self.seeds))]

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
    """Where a worker finds V and M: in an agent.pt, or in the checkpoints of their stages, with how C sees them."""

    env: dict[str, Any]
    agent: Path | None = None
    vae: Path | None = None
    mdrnn: Path | None = None
    controller_inputs: ControllerInputs = field(default_factory=ControllerInputs)

    def load(self, device: str) -> WorldModel:
        """Read the files."""
        if self.agent is not None:
            return load_agent(self.agent, device=device).world
        assert self.vae is not None and self.mdrnn is not None, self
        return load_world_model(
            self.vae, self.mdrnn, EnvSpec.from_dict(self.env), self.controller_inputs, device
        )


def build_player(
    models: Models, backend: str, width: int, device: str, threads: int = 1
) -> Callable[[Block], list[Score]]:
    """What runs in a worker: models are loaded and environments made once; returns the function that plays a block."""
    world = models.load(device)
    envs = make_vector_env(world.env, Backend(backend), width, threads)

    def play_block(block: Block) -> list[Score]:
        policy: Policy = RandomPolicy(world.env.action_space)
        if block.vectors is not None:
            policy = WorldModelPolicy(world, block.vectors)
        scores = play(
            envs, policy, block.seeds, max_steps=block.max_steps, early_cut=block.early_cut
        )
        broken = [score.seed for score in scores if not np.isfinite(score.total_return)]
        if broken:
            raise ValueError(
                f"{world.env.id} gave a reward that is NaN or infinite in the episode of seed {broken[0]}"
            )
        return scores

    return play_block


def play_blocks(
    pool: Pool, blocks: Sequence[Block], advance: Callable[[int, int], None]
) -> list[Score]:
    """Scores of all episodes in the order of the blocks; `advance(episodes, steps)` is called as blocks are done.

    An episode that cannot be played is a WorkerError.
    """
    results: list[list[Score]] = [[] for _ in blocks]
    for index, scores in pool.map(blocks):
        results[index] = scores
        advance(len(scores), sum(score.length for score in scores))
    return [score for scores in results for score in scores]


def play_what_can_be(
    pool: Pool,
    blocks: Sequence[Block],
    advance: Callable[[int, int], None],
    hanging: Counter[int] | None = None,
) -> list[Score]:
    """As `play_blocks`, but an episode that cannot be played is quarantined: a Score with the cause.

    A block that fails each time is taken apart and its episodes are tried one by one. A track on which `HANGS` of them
    hung is not played any more: the rest of its episodes, in the order of the blocks, are lost too. `hanging` says how
    often each track hung before, and counts on.
    """
    hanging = Counter() if hanging is None else hanging
    known = {seed for seed, times in hanging.items() if times >= HANGS}
    outcomes = iter(
        _outcomes(pool, [part for block in blocks for part in block.without(known)], advance)
    )
    scores: list[Score] = []
    for seed in (seed for block in blocks for seed in block.seeds):
        outcome = HUNG if seed in known else next(outcomes)
        if hanging[seed] >= HANGS:
            outcome = HUNG
        elif isinstance(outcome, Failure):
            hanging[seed] += outcome.hung
        scores.append(
            Score(seed, float("nan"), 0, outcome.cause) if isinstance(outcome, Failure) else outcome
        )
    return scores


def _outcomes(
    pool: Pool, blocks: Sequence[Block], advance: Callable[[int, int], None]
) -> list[Score | Failure]:
    """What became of each episode, in the order of the blocks."""
    outcomes: list[list[Score | Failure]] = [[] for _ in blocks]
    for index, outcome in pool.attempt(blocks):
        if not isinstance(outcome, Failure):
            outcomes[index] = outcome
            advance(len(outcome), sum(score.length for score in outcome))
    hung: Counter[int] = Counter()
    for index in (index for index, found in enumerate(outcomes) if not found):
        outcomes[index] = _one_by_one(pool, blocks[index].singles(), hung)
        played = [outcome for outcome in outcomes[index] if isinstance(outcome, Score)]
        advance(len(played), sum(score.length for score in played))
    return [outcome for found in outcomes for outcome in found]


def _one_by_one(pool: Pool, singles: list[Block], hung: Counter[int]) -> list[Score | Failure]:
    """Each episode alone, as many at once as there are workers, so that a track that hangs soon shows; `hung` counts."""
    outcomes: list[Score | Failure] = []
    for start in range(0, len(singles), pool.size):
        some = singles[start : start + pool.size]
        played = [place for place, single in enumerate(some) if hung[single.seeds[0]] < HANGS]
        found = {
            played[place]: outcome
            for place, outcome in pool.attempt([some[place] for place in played])
        }
        for place, single in enumerate(some):
            outcome = found.get(place, HUNG)
            hung[single.seeds[0]] += isinstance(outcome, Failure) and outcome.hung
            outcomes.append(outcome if isinstance(outcome, Failure) else outcome[0])
    return outcomes


def set_aside(
    scores: list[Score], players: list[str], generation: int, metrics: MetricsLog
) -> None:
    """Write down the episodes that could not be played, of players with as many each."""
    for place, score in enumerate(scores):
        if score.failure:
            player = players[place * len(players) // len(scores)]
            row = QuarantineRow(
                generation=generation, player=player, seed=score.seed, cause=score.failure
            )
            metrics.write("quarantine", row)


def require_most(scores: list[Score], generation: int) -> None:
    """Half of the episodes lost are a WorkerError with the cause."""
    lost = [score for score in scores if score.failure]
    if 2 * len(lost) >= len(scores):
        raise WorkerError(
            f"{len(lost)} of {len(scores)} episodes of generation {generation} could not be played: {lost[-1].failure}"
        )


def unplayable(scores: list[Score]) -> list[int]:
    """Tracks of which no episode could be played."""
    played = {score.seed for score in scores if not score.failure}
    return sorted({score.seed for score in scores} - played)


def block_size(episodes: int, width: int, workers: int) -> int:
    """Episodes in a block: a worker's fair share, but no more than two rounds of its `width` slots. Where that makes more
    blocks than workers (128 episodes on 2 workers of 16 slots), whoever is done first takes another. It changes no result."""
    return max(1, min(ROUNDS * width, -(-episodes // workers)))


def candidate_blocks(
    population: np.ndarray,
    seeds: Sequence[int] | np.ndarray,
    size: int,
    max_steps: int | None,
    early_cut: int = 0,
) -> list[Block]:
    """Every candidate (P, parameters) on every seed, candidate by candidate, cut into blocks of `size` episodes.

    seeds (n,), the same for all, or (P, n).
    """
    seeds = np.broadcast_to(seeds, (len(population), np.shape(seeds)[-1]))
    vectors = np.repeat(population.astype(np.float32), seeds.shape[1], axis=0)
    tracks = seeds.flatten().tolist()
    return [
        Block(
            vectors[start : start + size], tuple(tracks[start : start + size]), max_steps, early_cut
        )
        for start in range(0, len(tracks), size)
    ]


def single_blocks(
    vector: np.ndarray | None, seeds: Sequence[int], width: int, max_steps: int | None = None
) -> list[Block]:
    """One controller (None: the random policy) on every seed, cut into blocks of `width` episodes."""
    rows = None if vector is None else vector.astype(np.float32)[None]
    return [
        Block(rows, tuple(seeds[start : start + width]), max_steps)
        for start in range(0, len(seeds), width)
    ]
