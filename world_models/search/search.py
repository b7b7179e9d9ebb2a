"""Where a search stands."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from world_models.search.evolution import Evolution
from world_models.search.noise import fitness, rank_reliability

RATE_KNOWN_AFTER = 3
"""Generations after which the rate is taken as it is, and a plan is made."""


@dataclass(frozen=True)
class Tested:
    """A controller and how it did in a test."""

    # mean return
    score: float
    # (parameters of C,)
    vector: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"score": self.score, "vector": torch.from_numpy(self.vector)}


@dataclass
class Search:
    """Where a search stands: with the fitness told so far, all that makes it go on as before."""

    evolution: Evolution
    # episodes per candidate, per generation
    samples: list[int] = field(default_factory=list)
    # of the ranks, per generation
    reliability: list[float] = field(default_factory=list)
    env_steps: int = 0
    # environment steps per second, measured once (see Budget)
    rate: float | None = None
    # the controller that did best on the selection tracks, None before the first test
    best: Tested | None = None
    # generation of the last test
    tested: int = -1

    def ask(self) -> np.ndarray:
        """The next population of controllers (pop_size, parameters of C)."""
        return self.evolution.ask()

    @property
    def generation(self) -> int:
        """Generations told, those of another run that this one goes on from not counted."""
        return self.evolution.generation

    @property
    def mean(self) -> np.ndarray:
        """The controller (parameters of C,) in the middle of the search distribution."""
        return self.evolution.mean

    @property
    def champion(self) -> np.ndarray:
        """The controller (parameters of C,) of the highest fitness in the last generation."""
        return self.evolution.champion

    def tell(
        self, returns: np.ndarray, steps: int, seconds: float, undisturbed: bool = True
    ) -> None:
        """Take the returns (P, n) of the last population, and what playing them took.

        The rate is that of the first undisturbed generation, or of the third if none is.
        """
        self.evolution.tell(fitness(returns).tolist())
        self.samples.append(returns.shape[1])
        self.reliability.append(rank_reliability(returns))
        self.env_steps += steps
        if self.rate is None and (undisturbed or self.generation >= RATE_KNOWN_AFTER):
            self.rate = steps / seconds

    def offer(self, vector: np.ndarray, score: float) -> None:
        """Keep a controller and its mean return in a test, if it is the best so far."""
        if score > self.best_score:
            self.best = Tested(score, vector)

    @property
    def best_score(self) -> float:
        """The best score in a test so far; minus infinity before the first."""
        return -math.inf if self.best is None else self.best.score

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "segments": [segment.to_dict() for segment in self.evolution.segments],
            "samples": self.samples,
            "reliability": self.reliability,
            "env_steps": self.env_steps,
            "rate": self.rate,
            "best": None if self.best is None else self.best.to_dict(),
            "tested": self.tested,
            "mean": torch.from_numpy(self.evolution.mean),
            # made anew, it would differ in its last digits
            "start": torch.from_numpy(self.evolution.start),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, for a search at its first generation: it is replayed."""
        self.evolution.replay(state["segments"][-1]["history"])
        best = state["best"]
        self.best = None if best is None else Tested(best["score"], best["vector"].numpy())
        for name in ("samples", "reliability", "env_steps", "rate", "tested"):
            setattr(self, name, state[name])
