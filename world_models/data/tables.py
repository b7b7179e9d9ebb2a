"""Columns of the tables that the makers of episodes write.

With them stand the words that are put above them.
"""

from dataclasses import dataclass

from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class EpisodeLine:
    """episodes.csv: an episode of a new store."""

    # its number in the store, from 0
    episode: int
    # of the environment, from which it is played again
    seed: int
    # train or validation
    split: str
    # that the agent acted [steps]
    length: int = column("Episodes by length")
    # sum of its rewards [reward]
    total_return: float = column("Episodes by return", name="return")
    # where the environment has levels
    level: int | None = None


@dataclass(frozen=True, kw_only=True)
class SetAsideRow:
    """quarantine.csv: the seed of an episode that could not be played, and what stands for it."""

    # of the episode
    seed: int
    # the seed that was played in its place
    instead: int
    # why it could not be played
    cause: str
