"""The environment as stored files describe it, checked field by field."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from world_models.envs.preprocess import MIN_FRAME_SIZE
from world_models.envs.spec import EnvSpec
from world_models.runs.bounds import MOST_FRAME_SKIP
from world_models.runs.parsing import Stored, Text, damaged, require

LARGEST_FRAME_SIZE = 4096
MOST_ACTIONS = 1 << 20

Positive = Annotated[int, Field(ge=1, le=1 << 62)]
Pixels = Annotated[int, Field(ge=0, le=1 << 20)]
Numbers = Annotated[list[float], Field(max_length=MOST_ACTIONS)]


class _Preprocessing(Stored):
    crop: list[Pixels] = Field(min_length=4, max_length=4)
    size: int = Field(ge=MIN_FRAME_SIZE, le=LARGEST_FRAME_SIZE)
    grayscale: bool


class _ActionSpace(Stored):
    kind: Literal["box", "discrete"]
    size: int = Field(ge=1, le=MOST_ACTIONS)
    low: Numbers
    high: Numbers
    squash: list[Literal["affine", "positive"]]
    start: int = Field(0, ge=-(1 << 62), le=1 << 62)

    @model_validator(mode="after")
    def _agrees(self) -> "_ActionSpace":
        dimensions = self.size if self.kind == "box" else 0
        if {len(self.low), len(self.high), len(self.squash)} != {dimensions}:
            raise ValueError(f"a {self.kind} of size {self.size} has {dimensions} bounds")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a lower bound lies above the upper one")
        return self


class EnvFields(Stored):
    """What `EnvSpec.to_dict` gives."""

    id: Text
    kwargs: dict[str, Any]
    preprocessing: _Preprocessing
    frame_skip: int = Field(ge=1, le=MOST_FRAME_SKIP)
    action_space: _ActionSpace
    max_episode_steps: Positive | None


def spec_of(values: Any, place: str | Path) -> EnvSpec:
    """The environment that a file describes; what describes none is a ValueError."""
    require(EnvFields, values, f"{place}, env")
    try:
        return EnvSpec.from_dict(values)
    except (TypeError, ValueError) as error:
        raise damaged(place, f"env is no specification: {error}") from None
