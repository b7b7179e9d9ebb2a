"""When a search is over, and what it will come to."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from world_models.search.reference import expected
from world_models.search.search import Search


@dataclass(frozen=True)
class Pace:
    """What a generation takes, and what tests take on top."""

    # environment steps per second
    rate: float
    # per generation
    seconds: float
    # time of the tests over that of the generations; None: not known
    tests: float | None = 0.0


@dataclass(frozen=True)
class Budget:
    """What ends a search; None for no limit.

    `minutes` of playing candidates count as environment steps, at a rate that is measured once:
    in the first generation that all workers began warm and in which nothing had to be done again,
    or in the third if there was none before.
    """

    generations: int | None
    env_steps: int | None
    minutes: float | None
    target_return: float | None

    def steps(self, search: Search) -> int | None:
        """The nearer of `env_steps` and `minutes`, in environment steps.

        None without them, or before the rate is known.
        """
        limits = [self.env_steps] if self.env_steps is not None else []
        if self.minutes is not None and search.rate is not None:
            limits.append(math.ceil(search.rate * 60 * self.minutes))
        return min(limits, default=None)

    def is_over(self, search: Search) -> bool:
        """Whether it is used up, or the target reached."""
        steps = self.steps(search)
        return (
            (self.generations is not None and search.generation >= self.generations)
            or (steps is not None and search.env_steps >= steps)
            or (self.target_return is not None and search.best_score >= self.target_return)
        )

    def total(self, search: Search) -> int | None:
        """How many generations it allows, at the steps per generation so far.

        None while that is not known.
        """
        limits = [self.generations] if self.generations is not None else []
        steps = self.steps(search)
        if steps is not None:
            limits.append(math.ceil(steps * search.generation / search.env_steps))
        return min(limits, default=None)

    def plan(self, search: Search, env_id: str, pace: Pace) -> str:
        """What it comes to at this pace, and where the published search stood after as much."""
        total = self.total(search)
        assert total is not None, search.env_steps
        candidates = len(search.evolution.segments[-1].history[-1])
        left = (total - search.generation) * (1 + (pace.tests or 0))
        ends = datetime.now().astimezone() + timedelta(seconds=left * pace.seconds)
        ours = (
            f"{pace.rate:,.0f} steps/s, {pace.seconds:.0f} s per generation "
            f"and {_time_of_tests(pace)} of tests: {total} generations "
            f"of {candidates} x {search.samples[-1]} episodes, until about {ends:{_form(ends)}}"
        )
        then = expected(env_id, total)
        if then is None or search.evolution.ancestors:
            return ours
        tested = f", its mean vector {then.mean_vector:.0f}" if then.mean_vector is not None else ""
        return (
            f"{ours}; after as many, with 16 episodes each, the published population had "
            f"{then.population:.0f}{tested}, in {then.hours:,.0f} h on 64 cores"
        )


def _time_of_tests(pace: Pace) -> str:
    return "an unknown time" if pace.tests is None else f"{pace.seconds * pace.tests:.0f} s"


def _form(moment: datetime) -> str:
    """With the day where it is not today."""
    return "%H:%M" if moment.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M"
