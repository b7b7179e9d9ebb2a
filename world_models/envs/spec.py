"""EnvSpec: everything about an environment that is stored with its data and its agents."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing

if TYPE_CHECKING:
    from world_models.envs.families import Family

HELD_OUT = 1 << 30
"""Episode seeds from here on are never trained or searched on."""
SCORED = HELD_OUT + (1 << 28)
"""Episode seeds from here on are of scores: of selection and of the final test."""


@dataclass(frozen=True)
class EnvSpec:
    """An environment as plain values.

    Two equal specs give equal episodes for equal seeds and actions.
    """

    # Gymnasium id
    id: str
    # arguments of the environment
    kwargs: dict[str, Any]
    preprocessing: Preprocessing
    # environment steps per action
    frame_skip: int
    action_space: ActionSpace
    # environment steps, None where there is no limit
    max_episode_steps: int | None

    @property
    def folder_name(self) -> str:
        """The id as the name of a folder."""
        return self.id.replace("/", "-")

    @property
    def family(self) -> "Family":
        """The row of `FAMILIES` that this environment belongs to."""
        # which imports this module
        from world_models.envs.families import family_of

        return family_of(self.id)

    @property
    def has_levels(self) -> bool:
        """Whether episodes of different seeds may be of one level."""
        return self.family.levels is not None

    @property
    def has_one_level(self) -> bool:
        """Whether every episode is of the same level, so that none can be held out."""
        levels = self.family.levels
        return levels is not None and levels.has_one_level(self)

    @property
    def level_limit(self) -> int:
        """From how many levels the seeds below `HELD_OUT` draw, 0 where there is no limit."""
        levels = self.family.levels
        return 0 if levels is None else levels.limit(self)

    @property
    def level_kwargs(self) -> tuple[str, ...]:
        """Arguments that say which levels are played, not how the environment looks."""
        levels = self.family.levels
        return () if levels is None else levels.kwargs

    def require_environment(self) -> None:
        """Where there are recordings alone, and nothing to play in, it is a ValueError."""
        if not self.family.is_played:
            # which imports this module
            from world_models.envs.recorded import no_environment

            raise ValueError(no_environment(self))

    def level_of(self, seed: int) -> int:
        """The level of an episode of this seed; the seed itself where there are no levels."""
        levels = self.family.levels
        return seed if levels is None else levels.level_of(self, seed)

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


def difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """In which keys two environments, as `EnvSpec.to_dict` gives them, differ, and how."""
    keys = [key for key in ours if theirs.get(key) != ours[key]]
    return "; ".join(f"{key} is {theirs.get(key)} there and {ours[key]} here" for key in keys)
