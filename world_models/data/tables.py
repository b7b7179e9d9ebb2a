"""Columns of the tables that the makers of episodes write.

With them stand the words that are put above them.
"""

from dataclasses import dataclass

from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class EpisodeLine:
    """episodes.csv: an episode of a new store."""

    episode: int
    seed: int
    split: str
    length: int = column("Episodes by length")
    total_return: float = column("Episodes by return", name="return")
    # where the environment has levels
    level: int | None = None


@dataclass(frozen=True, kw_only=True)
class SetAsideRow:
    """quarantine.csv: the seed of an episode that could not be played, and what stands for it."""

    seed: int
    instead: int
    cause: str
