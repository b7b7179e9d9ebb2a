"""EnvSpec: everything about an environment that is stored with its data and its agents."""

from dataclasses import dataclass
from typing import Any

from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing


@dataclass(frozen=True)
class EnvSpec:
    """An environment as plain values; two equal specs give equal episodes for equal seeds and actions."""

    id: str  # Gymnasium id
    kwargs: dict[str, Any]  # arguments of the environment
    preprocessing: Preprocessing
    frame_skip: int  # environment steps per action
    action_space: ActionSpace
    max_episode_steps: int | None  # environment steps, None where there is no limit

    @property
    def folder_name(self) -> str:
        """The id as the name of a folder."""
        return self.id.replace("/", "-")

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        parts = {
            "preprocessing": self.preprocessing.to_dict(),
            "action_space": self.action_space.to_dict(),
        }
        return {**vars(self), "kwargs": dict(self.kwargs), **parts}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EnvSpec":
        """The inverse of `to_dict`."""
        parts = {
            "preprocessing": Preprocessing.from_dict(values["preprocessing"]),
            "action_space": ActionSpace.from_dict(values["action_space"]),
        }
        return cls(**{**values, "kwargs": dict(values["kwargs"]), **parts})
