"""What an agent comes to in the environment while it learns, beside chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from world_models.runs.rows import column
from world_models.runs.statistics import summarize

AGENT, RANDOM = "agent", "random"


@dataclass(frozen=True, kw_only=True)
class PlayedRow:
    """played.csv: returns on the selection seeds, with the 95 % interval of their mean."""

    # agent or random
    player: str
    # updates of the actor-critic, and steps of the environment that all learned from
    step: int
    env_steps: int
    episodes: int
    mean: float = column("Return in the environment")
    low: float
    high: float
    # steps of an episode, mean
    length: float = column("Steps per episode")


def played_row(
    player: str, step: int, env_steps: int, returns: Sequence[float], lengths: Sequence[int]
) -> PlayedRow:
    """The row of at least one episode."""
    summary = summarize(returns)
    return PlayedRow(
        player=player,
        step=step,
        env_steps=env_steps,
        episodes=len(returns),
        mean=summary.mean,
        low=summary.low,
        high=summary.high,
        length=sum(lengths) / len(lengths),
    )


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """epochs.csv of stage=rem: the training episodes that were collected in an epoch."""

    epoch: int
    # of all training episodes so far
    env_steps: int
    episodes: int
    mean: float = column("Return of collected episodes")
    length: float = column("Steps of a collected episode")

    @classmethod
    def of(
        cls, epoch: int, env_steps: int, returns: Sequence[float], lengths: Sequence[int]
    ) -> "EpochRow":
        """The row of at least one episode."""
        count = len(returns)
        mean, length = sum(returns) / count, sum(lengths) / count
        return cls(epoch=epoch, env_steps=env_steps, episodes=count, mean=mean, length=length)
