"""Somebody's environment as a slot needs it: pictures, numbers and ends in their plain forms."""

import logging
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.foreign import foreign
from world_models.envs.pictures import as_picture

log = logging.getLogger(__name__)

RESET = "reset(seed, options) -> observation, info"
STEP = "step(action) -> observation, reward, terminated, truncated, info"


class PictureEnv(gymnasium.Wrapper):
    """Observations are pictures, uint8 (H, W, 3), each an array of its own.

    They are what the environment observes, or what it renders. What does not follow Gymnasium's
    interface, raises, shows no picture, or another size of it within an episode is a ValueError
    that names the environment.
    """

    def __init__(self, env: gymnasium.Env, env_id: str, rendered: bool) -> None:
        super().__init__(env)
        self._id = env_id
        self._rendered = rendered
        # of the pictures of this episode, once there is one
        self._shape: tuple[int, ...] | None = None
        if rendered:
            # Box2D's worlds remember this reset: without it, last bits would be others
            with foreign(f"env.id={env_id}, {RESET}"):
                env.reset()
            self.render()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; returns its first picture, and an empty dictionary."""
        with foreign(f"env.id={self._id}, {RESET}"):
            observation, _ = _parts(self.env.reset(seed=seed, options=options), 2)
        self._shape = None
        return self._picture(observation), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; returns picture, reward, terminated, truncated, and an empty dictionary."""
        with foreign(f"env.id={self._id}, {STEP}"):
            observation, reward, *ends, _ = _parts(self.env.step(action), 5)
            reward = _number("reward", reward)
            terminated, truncated = (bool(_number("end", end)) for end in ends)
        return self._picture(observation), reward, terminated, truncated, {}

    def render(self) -> np.ndarray:
        """The picture that the environment renders."""
        with foreign(f"env.id={self._id}, render"):
            shown = self.env.render()
        return self._as_picture(shown)

    def close(self) -> None:
        """Let the environment go; one that cannot be closed is left, with a warning."""
        try:
            with foreign(f"env.id={self._id}, close"):
                self.env.close()
        except ValueError as error:
            log.warning("%s", error)

    def _picture(self, observation: Any) -> np.ndarray:
        """What is seen; within an episode all are of one size."""
        picture = self.render() if self._rendered else self._as_picture(observation)
        self._shape = self._shape or picture.shape
        if picture.shape != self._shape:
            sizes = [f"{height}x{width}" for height, width, _ in (self._shape, picture.shape)]
            raise ValueError(
                f"env.id={self._id} shows pictures of {sizes[0]} and of {sizes[1]} pixels "
                "in one episode"
            )
        return picture

    def _as_picture(self, shown: Any) -> np.ndarray:
        try:
            return as_picture(shown)
        except ValueError as error:
            raise ValueError(f"env.id={self._id} shows no picture: {error}") from error


def _parts(given: Any, count: int) -> tuple[Any, ...]:
    if isinstance(given, tuple) and len(given) == count:
        return given
    came = f"{len(given)} values" if isinstance(given, tuple) else f"a {type(given).__name__}"
    raise ValueError(f"{came} came in place of {count}")


def _number(name: str, value: Any) -> float:
    """A number of its own, or in an array of one element."""
    values = np.asarray(value)
    if values.size != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"the {name} {value!r} is no number")
    return float(values.item())
