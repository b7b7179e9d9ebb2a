"""The keys of stage=rem: what learns when, and on what."""

from dataclasses import dataclass, field

from world_models.learning.behaviour import BehaviourLearning
from world_models.learning.token_world_config import TokenWorldLearning
from world_models.learning.tokenizer_config import TokenizerLearning
from world_models.runs.numbers import require_below_one, require_not_negative, require_positive
from world_models.runs.run import BUDGET, RUNTIME


@dataclass
class Turn:
    """In which epochs something learns, and how much in each of them."""

    first: int = 1  # epoch from which on it learns; they count from 1
    last: int | None = None  # epoch up to which it learns; null: to the end
    updates: int = 100  # in each of these epochs

    def __post_init__(self) -> None:
        require_positive("stage", self, "first", "last")
        require_not_negative("stage", self, "updates")

    def done_by(self, epoch: int) -> int:
        """Updates that are due by the end of an epoch."""
        last = epoch if self.last is None else min(epoch, self.last)
        return self.updates * max(0, last - self.first + 1)


@dataclass
class Collecting:
    """How episodes come in: whole ones, until `steps` of each epoch are there."""

    steps: int = 200  # real ones of an epoch, at least
    # the last epoch in which any are collected; null: all
    last: int | None = None
    # most steps of an episode; null: the environment's own limit
    max_steps: int | None = None
    # environments side by side
    num_envs: int = 2
    # every so many shards are held out: to judge by, and not counted
    val_every: int = 10
    # each episode has a share of uniform actions of its own, up to this
    noise: float = 0.02
    # and a share, up to this, of steps in which one random action is held for a while
    bursts: float = 0.0

    def __post_init__(self) -> None:
        require_positive("stage.collect", self, "steps", "last", "max_steps", "num_envs")
        require_not_negative("stage.collect", self, "noise")
        require_below_one("stage.collect", self, "bursts")
        if self.val_every < 2:
            raise ValueError(f"stage.collect.val_every is {self.val_every}; it must be 2 or more")

    def steps_by(self, epoch: int) -> int:
        """Steps of training episodes that are there by the end of an epoch, at least."""
        return self.steps * (epoch if self.last is None else min(epoch, self.last))


@dataclass
class Schedule:
    """Who learns when."""

    tokenizer: Turn = field(default_factory=lambda: Turn(first=3, last=20, updates=32))
    world: Turn = field(default_factory=lambda: Turn(first=7, updates=20))
    behaviour: Turn = field(default_factory=lambda: Turn(first=13, updates=45))


@dataclass
class RemConfig:
    """The loop of Cohen et al. (2024): collect, tokenizer, world model, behaviour, evaluation.

    `real_steps`: the actor-critic also learns from the steps that it has just really done (Dyna).
    """

    tokenizer: TokenizerLearning = field(default_factory=TokenizerLearning)
    world: TokenWorldLearning = field(default_factory=TokenWorldLearning)
    behaviour: BehaviourLearning = field(default_factory=BehaviourLearning)
    collect: Collecting = field(default_factory=Collecting)
    schedule: Schedule = field(default_factory=Schedule)
    epochs: int = field(default=40, metadata=BUDGET)  # turns of the loop
    real_steps: bool = False  # learn from the steps that were just really done, too
    # epochs from one evaluation to the next; the last epoch has one, too
    evaluate_every: int = 5
    episodes: int = 32  # of an evaluation
    num_envs: int = 8  # environments in which these are played side by side
    log_every: int = 20  # updates between two rows of metrics.csv
    # updates between two checkpoints
    checkpoint_interval: int = field(default=100, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive("stage", self, "epochs", "evaluate_every", "episodes", "num_envs")
        require_positive("stage", self, "log_every", "checkpoint_interval")
