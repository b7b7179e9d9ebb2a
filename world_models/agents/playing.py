"""An agent in a notebook: `reset(n)`, then `act(frames)` once per step."""

from collections.abc import Sequence

import numpy as np

from world_models.agents.policy import Policy
from world_models.envs.pictures import as_picture
from world_models.envs.spec import EnvSpec


class Playing:
    """What every trained agent can do for a program: `prepare` pictures, `reset`, `act`."""

    def __init__(self, env: EnvSpec) -> None:
        self._env = env
        self._policy: Policy | None = None
        self._episodes = 0

    @property
    def env(self) -> EnvSpec:
        """The environment that the agent was made for, preprocessing included."""
        return self._env

    def policy(self, noise: float = 0.0, bursts: float = 0.0) -> Policy:
        """The agent as a policy for `interact`."""
        raise NotImplementedError

    def reset(self, num_envs: int = 1) -> None:
        """Begin `num_envs` episodes: the agent's memory is emptied."""
        if not isinstance(num_envs, int | np.integer) or num_envs < 0:
            raise ValueError(f"agent.reset has {num_envs!r}; it takes a number of episodes")
        self._policy = self.policy()
        self._policy.reset(range(num_envs))
        self._episodes = int(num_envs)

    def prepare(self, pictures: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Frames for `act` of pictures as the environment shows them: cropped and resized.

        `pictures` is (n, H, W, channels), or a list of n pictures.
        """
        if isinstance(pictures, np.ndarray) and pictures.ndim != 4:
            raise ValueError(
                "agent.prepare takes pictures (n, height, width, channels) or a list of them, "
                f"not an array of shape {pictures.shape}: of one picture, give agent.prepare([it])"
            )
        return self.env.preprocessing.apply([as_picture(picture) for picture in pictures])

    def act(self, frames: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) for frames (n, size, size, channels) of all n episodes."""
        if self._policy is None:
            raise ValueError(
                "agent.act needs a beginning: call agent.reset(number of environments) first"
            )
        self._require_frames(frames)
        return self._policy.act(frames, np.arange(len(frames)))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (n, ...) for what n episodes show, here frames: see `act`."""
        return self.act(observations)

    def _require_frames(self, frames: np.ndarray) -> None:
        pre = self.env.preprocessing
        expected = (self._episodes, pre.size, pre.size, pre.channels)
        if not (np.shape(frames) == expected and getattr(frames, "dtype", None) == np.uint8):
            came = getattr(frames, "dtype", type(frames).__name__)
            if np.ndim(frames) == 2:
                raise ValueError(
                    f"agent.act takes frames, not {np.shape(frames)}: for what a dream of M shows "
                    "call the agent itself, agent(observations)"
                )
            raise ValueError(
                f"agent.act takes frames uint8 {expected}, one for each episode, not {came} "
                f"{np.shape(frames)}: agent.prepare(pictures) crops and resizes what the "
                "environment shows"
            )
