"""Who plays the episodes of a search, and a generation of candidates that is played."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from world_models.agents.quarantine import Advance
from world_models.agents.rollout import Score
from world_models.pools.pool import Pool, WorkerError
from world_models.runs.metrics import MetricsLog
from world_models.search.fitness import Block, block_size, candidate_blocks
from world_models.search.quarantine import (
    check_half_played,
    play_with_quarantine,
    unplayable,
    write_quarantine,
)
from world_models.search.tracks import GenerationTracks

log = logging.getLogger(__name__)


def ignore(episodes: int, steps: int) -> None:
    """Nobody counts these episodes."""


@dataclass(frozen=True)
class Team:
    """Workers, and the rules by which they play episodes."""

    pool: Pool
    # environments that a worker steps side by side
    width: int
    # steps after which an episode ends
    time_limit: int | None
    # where episodes that cannot be played are written down
    metrics: MetricsLog
    # steps without a positive reward after which an episode is cut (0: never)
    early_cut: int = 0
    advance: Advance = ignore
    # how often each track hung, where tracks are played again and again; None: once each
    hanging: Counter[int] | None = None

    def play(
        self,
        vectors: np.ndarray,
        tracks: Sequence[int] | np.ndarray,
        names: list[str],
        generation: int,
    ) -> list[Score]:
        """Scores of controllers (P, parameters) on tracks (P, n) or (n,), controller by controller.

        Episodes that cannot be played are written to quarantine.csv, under the players' `names`.
        """
        size = block_size(len(vectors) * np.shape(tracks)[-1], self.width, self.pool.size)
        blocks = candidate_blocks(vectors, tracks, size, self.time_limit, self.early_cut)
        scores = play_with_quarantine(self.pool, blocks, self.advance, self.hanging)
        write_quarantine(scores, names, generation, self.metrics)
        return scores

    def warm_up(self, parameters: int) -> None:
        """One step in each worker, so that no generation waits for models that are loaded.

        An environment that nobody can play ends the run at once: a WorkerError.
        """
        vector = np.zeros((1, parameters), np.float32)
        seeds = range(max(2, self.pool.size))
        blocks = [Block(vector, (seed,), max_steps=1) for seed in seeds]
        scores = play_with_quarantine(self.pool, blocks, ignore)
        if all(score.failure for score in scores):
            raise WorkerError(f"the environment cannot be played: {scores[-1].failure}")


@dataclass(frozen=True)
class Played:
    """What the candidates of a generation came to."""

    # (P, n); NaN: that episode could not be played
    returns: np.ndarray
    # (P, n) in environment steps
    lengths: np.ndarray
    # all workers had started before, and nothing had to be done again
    undisturbed: bool

    @property
    def steps(self) -> int:
        """Environment steps of all episodes."""
        return int(self.lengths.sum())

    @property
    def mean_length(self) -> float:
        """Of the episodes that could be played."""
        return float(self.lengths[np.isfinite(self.returns)].mean())


Players = Callable[[np.ndarray, GenerationTracks], Played]
"""Who plays a generation's candidates (P, parameters), in the environment or in a dream of it."""


def play_candidates(team: Team, candidates: np.ndarray, tracks: GenerationTracks) -> Played:
    """Every candidate (P, parameters) plays the tracks.

    A track that none of them could play gives way to another, once. Half of the episodes lost are
    a WorkerError.
    """
    warm = team.pool.warm
    setbacks = team.pool.setbacks
    names = [str(candidate) for candidate in range(len(candidates))]
    scores = team.play(candidates, tracks.seeds, names, tracks.generation)
    closed = unplayable(scores)
    for track, other in zip(closed, tracks.others(len(closed)), strict=True):
        log.warning(
            "generation %d: no candidate could play track %d; they play %d instead",
            tracks.generation,
            track,
            other,
        )
        # scores lie candidate by candidate
        column = slice(tracks.seeds.index(track), None, len(tracks.seeds))
        scores[column] = team.play(candidates, [other], names, tracks.generation)
    check_half_played(scores, tracks.generation)
    shape = len(candidates), len(tracks.seeds)
    returns = np.array([score.total_return for score in scores]).reshape(shape)
    lengths = np.array([score.length for score in scores]).reshape(shape)
    return Played(returns, lengths, warm and team.pool.setbacks == setbacks)
