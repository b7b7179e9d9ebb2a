"""Candidates in the dream of a pixel model: V and M see its frames, as they see the real ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from world_models.agents.agent import WorldModelPolicy
from world_models.agents.quarantine import Advance
from world_models.agents.rollout import play
from world_models.search.team import Played, ignore
from world_models.search.tracks import GenerationTracks
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.latent import WorldModel


@dataclass(frozen=True)
class FrameDreamers:
    """Candidates play as they do outside: frames take V, and a loop over slots."""

    env: DreamEnv
    # who sees: V and M of the search
    model: WorldModel
    # is told the steps that were made
    advance: Advance = ignore

    def play_candidates(self, candidates: np.ndarray, tracks: GenerationTracks) -> Played:
        """Every candidate (P, parameters) in the rollouts of a generation."""
        return self.play(candidates, tracks.seeds)

    def play(self, vectors: np.ndarray, seeds: Sequence[int]) -> Played:
        """Every controller (P, parameters) in each rollout (n,) of these seeds."""
        shape = len(vectors), len(seeds)
        policy = WorldModelPolicy(self.model, np.repeat(vectors, len(seeds), axis=0))
        scores = play(self.env, policy, list(seeds) * len(vectors))
        returns = np.array([score.total_return for score in scores]).reshape(shape)
        lengths = np.array([score.length for score in scores]).reshape(shape)
        self.advance(0, int(lengths.sum()))
        return Played(returns, lengths, True)
