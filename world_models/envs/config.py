"""What a user types about any environment; a family with keys of its own extends EnvConfig."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from world_models.envs.actions import Squash
from world_models.envs.preprocess import Crop


class Backend(Enum):
    """What steps the environments."""

    auto = "auto"
    gymnasium = "gymnasium"
    envpool = "envpool"
    procgen = "procgen"
    vizdoom = "vizdoom"
    minatar = "minatar"
    ale = "ale"
    recorded = "recorded"  # nothing: recordings are read, not played


@dataclass
class EnvConfig:
    """Any Gymnasium environment that shows pixels."""

    # of Gymnasium's registry, or <module>:<id> of a module of yours
    id: str = MISSING
    # arguments of the environment
    kwargs: dict[str, Any] = field(default_factory=dict)
    # what steps the environments; auto: the fastest that there is
    backend: Backend = Backend.auto
    # pixels of a side of the frames
    size: int = 64
    # of the raw picture, before resizing
    crop: Crop = field(default_factory=Crop)
    # see frames in grey
    grayscale: bool = False
    # environment steps per action
    frame_skip: int = 1
    # one per box dimension; empty: affine
    squash: list[Squash] = field(default_factory=list)
