"""Where a search stands, when it is over, and what it will come to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import torch

from world_models.search.components import Components
from world_models.search.evolution import Evolution
from world_models.search.noise import fitness, rank_reliability
from world_models.search.reference import expected

SETTLED = 3
"""Generations after which the rate is known, even if in each of them something had to be done again, and a plan is made."""


@dataclass(frozen=True)
class Finalist:
    """A controller (parameters of C,), its mean return in the test that all take, and over how many tracks that was."""

    score: float
    tracks: int
    vector: np.ndarray
    # mean return over these and the tracks that finalists play at the end
    overall: float = float("nan")


@dataclass
class Search:
    """Where a search stands: all that, with the returns told so far, makes it go on as if never stopped."""

    evolution: Evolution
    # what its vectors are weights of; None: C's own parameters
    components: Components | None = None
    heats: int = 1  # groups of candidates that play different tracks
    samples: list[int] = field(default_factory=list)  # episodes per candidate, per generation
    reliability: list[float] = field(default_factory=list)  # of the ranks, per generation
    env_steps: int = 0
    rate: float | None = None  # environment steps per second, measured once (see Budget)
    # the controllers that did best on the selection tracks
    finalists: list[Finalist] = field(default_factory=list)
    tested: int = -1  # generation of the last test
    # generation after which the finalists played once more, if that is the last one
    decided: int = -1

    def ask(self) -> np.ndarray:
        """The next population, as controllers (pop_size, parameters of C)."""
        return self._controllers(self.evolution.ask())

    @property
    def mean(self) -> np.ndarray:
        """The controller (parameters of C,) in the middle of the search distribution."""
        return self._controllers(self.evolution.mean[None])[0]

    @property
    def champion(self) -> np.ndarray:
        """The controller (parameters of C,) that had the highest fitness in the last generation told."""
        return self._controllers(self.evolution.champion[None])[0]

    def _controllers(self, vectors: np.ndarray) -> np.ndarray:
        return vectors if self.components is None else self.components.expand(vectors)

    def tell(self, returns: np.ndarray, steps: int, seconds: float, calm: bool = True) -> None:
        """Take the returns (P, n) of the last population, played in so many environment steps and seconds; a generation
        in which something had to be done again is not `calm`, and no measure of the rate if another comes soon."""
        self.evolution.tell(fitness(returns, self.heats).tolist())
        self.samples.append(returns.shape[1])
        self.reliability.append(rank_reliability(returns, self.heats))
        self.env_steps += steps
        if self.rate is None and (calm or self.evolution.generation >= SETTLED):
            self.rate = steps / seconds

    def offer(self, vector: np.ndarray, score: float, tracks: int = 1, places: int = 1) -> None:
        """A controller and its score in a test; the best of all are kept, on so many places."""
        finalists = [*self.finalists, Finalist(score, tracks, vector)]
        self.finalists = sorted(finalists, key=lambda finalist: -finalist.score)[:places]

    def decide(self, overall: Sequence[float]) -> None:
        """Take the finalists' scores over all tracks, in their order."""
        self.finalists = [
            replace(one, overall=score) for one, score in zip(self.finalists, overall, strict=True)
        ]
        self.decided = self.evolution.generation

    @property
    def agent(self) -> tuple[np.ndarray, float]:
        """The controller (parameters of C,) that did best, and its score: over all tracks once that is decided."""
        if self.decided != self.evolution.generation:
            return self.finalists[0].vector, self.best_score
        best = max(self.finalists, key=lambda finalist: finalist.overall)
        return best.vector, best.overall

    @property
    def best_score(self) -> float:
        """The best score in a test so far; minus infinity before the first."""
        return self.finalists[0].score if self.finalists else -math.inf

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "segments": [segment.to_dict() for segment in self.evolution.segments],
            "samples": self.samples,
            "reliability": self.reliability,
            "env_steps": self.env_steps,
            "rate": self.rate,
            "finalists": [
                {**vars(finalist), "vector": torch.from_numpy(finalist.vector)}
                for finalist in self.finalists
            ],
            "tested": self.tested,
            "decided": self.decided,
            "start": torch.from_numpy(self.evolution.start),
            "mean": torch.from_numpy(self.evolution.mean),
            "components": None if self.components is None else self.components.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, for a search at its first generation: it is replayed."""
        self.evolution.replay(state["segments"][-1]["history"])
        self.finalists = [
            Finalist(**{**values, "vector": values["vector"].numpy()})
            for values in state["finalists"]
        ]
        for name in ("samples", "reliability", "env_steps", "rate", "tested", "decided"):
            setattr(self, name, state[name])


@dataclass(frozen=True)
class Pace:
    """What a generation takes, and what tests take on top."""

    rate: float  # environment steps per second
    seconds: float  # per generation
    tests: float = 0.0  # time of the tests over that of the generations
    # generations that could be played in the time of the finalists' tracks, once at the end
    finals: float = 0.0


@dataclass(frozen=True)
class Budget:
    """What ends a search; None for no limit. `minutes` of playing candidates count as environment steps, at the rate that
    was measured once: in the first generation that all workers began warm and nothing had to be done again in, but no later
    than the third."""

    generations: int | None
    env_steps: int | None
    minutes: float | None
    target_return: float | None

    def steps(self, search: Search) -> int | None:
        """The nearer of `env_steps` and `minutes`, in environment steps; None without them, or before the rate is known."""
        limits = [self.env_steps] if self.env_steps is not None else []
        if self.minutes is not None and search.rate is not None:
            limits.append(math.ceil(search.rate * 60 * self.minutes))
        return min(limits, default=None)

    def is_over(self, search: Search) -> bool:
        """Whether it is used up, or the target reached."""
        out_of_generations = (
            self.generations is not None and search.evolution.generation >= self.generations
        )
        steps = self.steps(search)
        out_of_steps = steps is not None and search.env_steps >= steps
        return out_of_generations or out_of_steps or self._on_target(search)

    def _on_target(self, search: Search) -> bool:
        return self.target_return is not None and search.best_score >= self.target_return

    def total(self, search: Search) -> int | None:
        """How many generations it allows, at the steps per generation so far; None while that is not known."""
        limits = [self.generations] if self.generations is not None else []
        steps = self.steps(search)
        if steps is not None:
            limits.append(math.ceil(steps * search.evolution.generation / search.env_steps))
        return min(limits, default=None)

    def plan(self, search: Search, env_id: str, pace: Pace) -> str:
        """What it comes to at this pace, and where the published search stood after as much."""
        total, candidates = self.total(search), len(search.evolution.segments[-1].history[-1])
        assert total is not None, search.env_steps
        left = (
            (total - search.evolution.generation) * (1 + pace.tests) + pace.finals
        ) * pace.seconds
        ends = datetime.now().astimezone() + timedelta(seconds=left)
        told = (
            f"{pace.rate:,.0f} steps/s, {pace.seconds:.0f} s per generation and {pace.seconds * pace.tests:.0f} s of tests: "
            f"{total} generations of {candidates} x {search.samples[-1]} episodes, until about {ends:{_form(ends)}}"
        )
        then = expected(env_id, total)
        if then is None or search.evolution.ancestors:
            return told
        tested = f", its mean vector {then.mean_vector:.0f}" if then.mean_vector is not None else ""
        return (
            f"{told}; after as many, with 16 episodes each, the published population had {then.population:.0f}{tested}, "
            f"in {then.hours:,.0f} h on 64 cores"
        )


def _form(moment: datetime) -> str:
    """With the day where it is not today."""
    return "%H:%M" if moment.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M"
