"""The game that is really played: one environment, one episode after the other."""

from dataclasses import dataclass, field

import numpy as np

from world_models.data.episode import RUNNING, TERMINATED, TRUNCATED, Episode
from world_models.envs.pixels import PixelVectorEnv


@dataclass
class Moment:
    """How far an episode has come."""

    steps: int = 0
    # of the last step, None before the first one and where no reward is predicted
    reward: float | None = None
    total: float = 0.0
    # RUNNING, TERMINATED or TRUNCATED
    done: int = RUNNING
    # predicted probability that the last step ended it, None where nobody says
    chance: float | None = None


@dataclass
class Tape:
    """An episode as it is played, row by row."""

    frames: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def newest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The last `count` frames (k, H, W, C), and the actions (k-1, ...) between them."""
        first = len(self.actions) - count + 1
        return np.stack(self.frames[-count:]), np.array(self.actions[first:])

    def episode(self, seed: int) -> Episode:
        """All of it, with the padding of a stored episode."""
        return Episode.of_steps(seed, self.frames, self.actions, self.rewards, self.done)


class Game:
    """An environment with one slot: what it shows, and how far it is."""

    def __init__(self, envs: PixelVectorEnv) -> None:
        assert envs.num_envs == 1, envs.num_envs
        self.envs = envs

    def begin(self, seed: int) -> None:
        """An episode of this seed."""
        self.seed = seed
        self.at = Moment()
        self.frame = self.envs.reset(seed=[seed])[0][0]
        self.picture = self.envs.render()[0]
        self.tape = Tape(frames=[self.frame])

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended."""
        return self.at.done != RUNNING

    def advance(self, action: np.ndarray) -> None:
        """One step; `frame` and `picture` stay where what comes is of another episode already."""
        assert not self.is_over, self.at
        frames, rewards, terminated, truncated, _ = self.envs.step(action[None])
        done = TERMINATED if terminated[0] else TRUNCATED if truncated[0] else RUNNING
        reward = float(rewards[0])
        self.at = Moment(self.at.steps + 1, reward, self.at.total + reward, done)
        self.tape.actions.append(action)
        self.tape.rewards.append(reward)
        self.tape.done.append(done)
        self.tape.frames.append(frames[0])
        if not self.is_over or self.envs.has_final_frame:
            self.frame = frames[0]
            self.picture = self.envs.render()[0]

    def close(self) -> None:
        """Let the environment go."""
        self.envs.close()
