"""The columns of a search's tables, with the words that stand above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class GenerationRow:
    """metrics.csv: fitness in a generation, and what was played up to its end."""

    generation: int
    episodes: int
    env_steps: int
    best: float
    mean: float
    median: float
    worst: float
    std: float
    sigma: float = column("Step size σ of the search")
    # of an episode, mean
    length: float = column("Steps per episode")
    # episodes of a candidate; what they say of its rank (runs of an earlier version have neither)
    n_samples: int | None = None
    reliability: float | None = None


@dataclass(frozen=True, kw_only=True)
class SelectionRow:
    """selection.csv: the mean vector on the selection tracks, with its 95 % interval.

    Beside it stands a generation's best candidate.
    """

    generation: int
    mean: float
    std: float
    low: float
    high: float
    # runs of an earlier version have none
    candidate: float | None = None
    # of all that was tested so far
    best: float


@dataclass(frozen=True, kw_only=True)
class DreamtRow:
    """dreamt.csv, of a search in a dream: scores for real, as in selection.csv, and in the dream.

    The gap is what the dream promises the mean vector beyond what it gets.
    """

    generation: int
    real: float
    dream: float
    gap: float = column("Gap: dream less real")
    candidate_real: float
    candidate_dream: float


def grown(rows: Sequence[DreamtRow]) -> bool:
    """Whether the gap has grown in each of the last three tests: the model is being exploited."""
    last = [row.gap for row in rows[-4:]]
    return len(last) == 4 and all(earlier < later for earlier, later in pairwise(last))


@dataclass(frozen=True, kw_only=True)
class FinalistRow:
    """finalists.csv: a finalist's score in its test, on further tracks, and over both."""

    generation: int
    place: int
    test: float
    further: float
    overall: float


@dataclass(frozen=True, kw_only=True)
class QuarantineRow:
    """quarantine.csv: an episode that could not be played."""

    generation: int
    player: str
    seed: int
    cause: str


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """reference.csv: a published search's tests of its mean vector, and its cost by then."""

    episodes: int = column("Score by episodes")
    hours: float = column("Score by hours")
    mean_vector: float
