"""Recordings without an environment: an action space and pictures, on which models are trained."""

import re
from dataclasses import dataclass, field

import gymnasium
import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.envs.config import EnvConfig
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

PREFIX = "Data/"
STEP_LIMIT = 1_000_000
"""Most steps of a recording; nobody knows a limit of the game."""


@dataclass
class RecordedConfig(EnvConfig):
    """Recordings without an environment: V, M and pixel models can be trained, nothing is played.

    Actions are numbered (`actions`), or rows of numbers between `low` and `high`.
    """

    # follows from the name
    id: str = "Data/${.name}"
    # of the recordings, as you like; runs lie in outputs/Data-<name>
    name: str = "mine"
    # how many actions there are, numbered from 0; null: they are rows of numbers
    actions: int | None = None
    # of rows: the lowest value of each number
    low: list[float] = field(default_factory=list)
    # of rows: the highest value of each number
    high: list[float] = field(default_factory=list)


def fits(env_id: str) -> bool:
    """Whether an id is that of recordings."""
    return env_id.startswith(PREFIX)


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """The description of the recordings; ValueError for keys that describe none."""
    if not isinstance(cfg, RecordedConfig) or not re.fullmatch(rf"{PREFIX}[\w-]+", cfg.id):
        raise ValueError(
            f"env.id={cfg.id} is no name of recordings: choose env=data, and give env.name in "
            "letters, digits, - and _"
        )
    if cfg.kwargs or cfg.frame_skip != 1:
        raise ValueError(
            "env=data has no environment that env.kwargs or env.frame_skip could change: leave "
            "them out"
        )
    actions = ActionSpace.from_gymnasium(_space(cfg), cfg.squash)
    return EnvSpec(cfg.id, {}, preprocessing, 1, actions, STEP_LIMIT)


def _space(cfg: RecordedConfig) -> gymnasium.Space:
    if (cfg.actions is None) == (not cfg.low and not cfg.high):
        raise ValueError(
            "env=data must know the actions: give env.actions=<how many> where they are numbered, "
            "or env.low=[...] and env.high=[...] where each is a row of numbers"
        )
    if cfg.actions is not None:
        if cfg.actions < 1:
            raise ValueError(f"env.actions is {cfg.actions}; it must be 1 or more")
        return gymnasium.spaces.Discrete(cfg.actions)
    low, high = (np.array(bound, np.float32) for bound in (cfg.low, cfg.high))
    if low.shape != high.shape or not (low < high).all():
        raise ValueError(
            f"env.low={cfg.low} and env.high={cfg.high} must have as many numbers, the lower one "
            "below the higher one"
        )
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def refuse_slots(spec: EnvSpec, num_envs: int, threads: int) -> PixelVectorEnv:
    """There is nothing to step: a ValueError."""
    raise ValueError(no_environment(spec))


def no_environment(spec: EnvSpec) -> str:
    """One sentence for who would play."""
    return (
        f"{spec.id} has recordings alone, and no environment to play in: V, M and pixel models "
        "are trained on them, more of them are read by stage=convert"
    )
