"""What an agent comes to in the environment while it learns, beside chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from world_models.measures.rows import StepRow
from world_models.runs.rows import column
from world_models.runs.statistics import summarize

AGENT, RANDOM = "agent", "random"


@dataclass(frozen=True, kw_only=True)
class BehaviourStepRow(StepRow):
    """metrics.csv of an actor-critic: the terms of its loss, and what it learned from."""

    # loss of the actor: -log p(action) times the advantage [1]
    actor: float
    # loss of the critic [1]
    critic: float
    # of the policy [nats]
    entropy: float
    # of a dreamt step, mean [reward]
    reward: float
    # what follows a dreamt step, discounted, mean [reward]
    total_return: float = column(name="return")
    # what the critic expects to follow, mean [reward]
    value: float


@dataclass(frozen=True, kw_only=True)
class PlayedRow:
    """played.csv: returns on the selection seeds, with the 95 % interval of their mean."""

    # agent, or random
    player: str
    # updates of the actor-critic
    step: int
    # of the environment, that all learned from [steps]
    env_steps: int
    # that were played for this row [episodes]
    episodes: int
    # of these, mean return [reward]
    mean: float = column("Return in the environment")
    # lower end of its 95 % interval [reward]
    low: float
    # upper end of it [reward]
    high: float
    # of an episode, mean [steps]
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

    # from 1
    epoch: int
    # of all training episodes so far [steps]
    env_steps: int
    # that were collected in this epoch [episodes]
    episodes: int
    # of these, mean return [reward]
    mean: float = column("Return of collected episodes")
    # of an episode, mean [steps]
    length: float = column("Steps of a collected episode")

    @classmethod
    def of(
        cls, epoch: int, env_steps: int, returns: Sequence[float], lengths: Sequence[int]
    ) -> "EpochRow":
        """The row of at least one episode."""
        count = len(returns)
        mean, length = sum(returns) / count, sum(lengths) / count
        return cls(epoch=epoch, env_steps=env_steps, episodes=count, mean=mean, length=length)
