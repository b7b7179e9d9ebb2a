"""The columns of a search's tables, with the words that stand above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class GenerationRow:
    """metrics.csv: fitness in a generation, and what was played up to its end."""

    # from 1
    generation: int
    # played by candidates up to its end [episodes]
    episodes: int
    # steps of the environment by then [steps]
    env_steps: int
    # fitness of the best candidate [reward]
    best: float
    # fitness of all, mean [reward]
    mean: float
    # of their fitness [reward]
    median: float
    # fitness of the worst candidate [reward]
    worst: float
    # standard deviation of the candidates' fitness [reward]
    std: float
    # of the normal distribution that candidates are drawn from [weight of C]
    sigma: float = column("Step size σ of the search")
    # of an episode, mean [steps]
    length: float = column("Steps per episode")
    # of each candidate (runs of an earlier version do not say) [episodes]
    n_samples: int | None = None
    # how well these rank the candidates: 0 says noise, 1 perfectly [correlation]
    reliability: float | None = None


@dataclass(frozen=True, kw_only=True)
class SelectionRow:
    """selection.csv: the mean vector on the selection tracks, with its 95 % interval.

    Beside it stands a generation's best candidate.
    """

    # after which the test was
    generation: int
    # return of the mean vector [reward]
    mean: float
    # its standard deviation over episodes [reward]
    std: float
    # lower end of the mean's 95 % interval [reward]
    low: float
    # upper end of it [reward]
    high: float
    # return of the generation's best candidate (runs of an earlier version have none) [reward]
    candidate: float | None = None
    # of all that was tested so far [reward]
    best: float


@dataclass(frozen=True, kw_only=True)
class DreamtRow:
    """dreamt.csv, of a search in a dream: scores for real, as in selection.csv, and in the dream.

    The gap is what the dream promises the mean vector beyond what it gets.
    """

    # after which the test was
    generation: int
    # return of the mean vector in the environment [reward]
    real: float
    # and in the dream [reward]
    dream: float
    # what the dream promises too much [reward]
    gap: float = column("Gap: dream less real")
    # return of the best candidate in the environment [reward]
    candidate_real: float
    # and in the dream [reward]
    candidate_dream: float


def grown(rows: Sequence[DreamtRow]) -> bool:
    """Whether the gap has grown in each of the last three tests: the model is being exploited."""
    last = [row.gap for row in rows[-4:]]
    return len(last) == 4 and all(earlier < later for earlier, later in pairwise(last))


@dataclass(frozen=True, kw_only=True)
class FinalistRow:
    """finalists.csv: a finalist's score in its test, on further tracks, and over both."""

    # in which it was tested
    generation: int
    # by its score over both, from 1
    place: int
    # return in its test [reward]
    test: float
    # return on further tracks [reward]
    further: float
    # return over both [reward]
    overall: float


@dataclass(frozen=True, kw_only=True)
class QuarantineRow:
    """quarantine.csv: an episode that could not be played."""

    # in which it was to be played
    generation: int
    # candidate, mean vector or best candidate
    player: str
    # of the episode
    seed: int
    # why it could not be played
    cause: str


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """reference.csv: a published search's tests of its mean vector, and its cost by then."""

    # played by candidates by then [episodes]
    episodes: int = column("Score by episodes")
    # that the search had taken [h]
    hours: float = column("Score by hours")
    # return of the mean vector [reward]
    mean_vector: float
