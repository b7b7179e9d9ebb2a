"""Policies: batched, frames in, actions out.

Here are scripted explorers; the trained agent's is `WorldModelPolicy`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from world_models.envs.actions import ActionSpace, Noise
from world_models.runs import seeding


class Policy(Protocol):
    """Plays one episode per row. What a row does depends on its own seed and observations alone."""

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""

    def act(self, observations: np.ndarray, rows: np.ndarray, /) -> np.ndarray:
        """Actions (n, ...) for what the episodes `rows` (n,) show.

        Observations are (n, ...), mostly frames uint8.
        """


class RandomPolicy:
    """Every action uniform over the action space."""

    def __init__(self, space: ActionSpace) -> None:
        self.space = space

    def reset(self, seeds: Sequence[int]) -> None:
        self.generators = [seeding.generator(seed, "policy") for seed in seeds]

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([self.space.sample(self.generators[row], 1) for row in rows])


class BrownianPolicy:
    """Smooth noise for Box actions: an Ornstein-Uhlenbeck process, squashed to the bounds.

    It forgets with a time constant of `memory` steps.
    """

    def __init__(self, space: ActionSpace, noise: Noise, memory: float = 20.0) -> None:
        if space.kind != "box":
            raise ValueError(
                "stage.policy=brownian needs Box actions; "
                "this environment's are Discrete: use sticky"
            )
        self.space = space
        self.keep = float(np.exp(-1.0 / memory))
        self.mean, self.std = np.array(noise.mean, np.float32), np.array(noise.std, np.float32)

    def reset(self, seeds: Sequence[int]) -> None:
        self.generators = [seeding.generator(seed, "policy") for seed in seeds]
        self.state = self._draw(np.arange(len(seeds)))

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        fresh = np.sqrt(1 - self.keep**2) * self._draw(rows)
        self.state[rows] = self.keep * self.state[rows] + fresh
        return self.space.from_raw(self.mean + self.std * self.state[rows])

    def _draw(self, rows: np.ndarray) -> np.ndarray:
        return np.stack(
            [self.generators[row].standard_normal(self.space.size, np.float32) for row in rows]
        )


class StickyPolicy:
    """For Discrete actions: keep the last action, or draw a uniform one.

    It is kept with probability `stickiness`.
    """

    def __init__(self, space: ActionSpace, stickiness: float = 0.75) -> None:
        if space.kind != "discrete":
            raise ValueError(
                "stage.policy=sticky needs Discrete actions; "
                "this environment's are Box: use brownian"
            )
        self.space = space
        self.stickiness = stickiness

    def reset(self, seeds: Sequence[int]) -> None:
        self.generators = [seeding.generator(seed, "policy") for seed in seeds]
        self.last = np.concatenate([self.draw(generator) for generator in self.generators])

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        for row in rows:
            if self.generators[row].random() >= self.stickiness:
                self.last[row] = self.draw(self.generators[row])[0]
        return self.last[rows]

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """A new action (1,)."""
        return self.space.sample(generator, 1)


class RightwardPolicy(StickyPolicy):
    """For platform games of CoinRun's kind: sticky, but a new action often leads to the right.

    With probability `bias` it goes right, straight or with a jump.
    """

    # of CoinRun's fifteen: right, right and up
    moves = np.array([7, 8])

    def __init__(self, space: ActionSpace, stickiness: float = 0.75, bias: float = 0.7) -> None:
        super().__init__(space, stickiness)
        if (space.size, space.start) != (15, 0):
            raise ValueError(
                "stage.policy=rightward and mixed know CoinRun's fifteen actions, "
                "and this environment has others: use sticky"
            )
        self.bias = bias

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        if generator.random() < self.bias:
            return generator.choice(self.moves, 1)
        return super().draw(generator)


class MixedPolicy:
    """Each episode is played by one of several policies: its seed says by which."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = policies

    def reset(self, seeds: Sequence[int]) -> None:
        self.chosen = np.array(
            [seeding.generator(seed, "mixed").integers(len(self.policies)) for seed in seeds]
        )
        for policy in self.policies:
            policy.reset(seeds)

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        actions: np.ndarray | None = None
        for number in np.unique(self.chosen[rows]):
            mine = self.chosen[rows] == number
            acted = self.policies[number].act(frames[mine], rows[mine])
            if actions is None:
                actions = np.empty((len(rows), *acted.shape[1:]), acted.dtype)
            actions[mine] = acted
        assert actions is not None, "at least one episode plays"
        return actions


class CarRacingExplorer:
    """Scripted driving for CarRacing: full gas for a while, then actions held for five steps each.

    The mixture is HumbleRL's: 60 steps of gas, every fifth of them random. Then follow nothing
    10 %, gas 40 %, left 30 %, right 10 %, brake 10 %. Left prevails because the track runs
    counter-clockwise.
    """

    moves = np.array([[0, 0, 0], [0, 1, 0], [-1, 0.2, 0], [1, 0.2, 0], [0, 0, 0.8]], np.float32)
    weights = (0.1, 0.4, 0.3, 0.1, 0.1)

    def __init__(self, space: ActionSpace) -> None:
        if space.kind != "box" or space.size != 3:
            raise ValueError(
                "stage.policy=car_racing drives CarRacing's three Box actions "
                "(steer, gas, brake) only"
            )
        self.space = space

    def reset(self, seeds: Sequence[int]) -> None:
        self.generators = [seeding.generator(seed, "policy") for seed in seeds]
        self.steps = np.zeros(len(seeds), int)
        self.held = np.tile(self.moves[1], (len(seeds), 1))

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        for row in rows:
            self.held[row] = self._next(row)
        self.steps[rows] += 1
        return self.held[rows]

    def _next(self, row: int) -> np.ndarray:
        step = self.steps[row]
        generator = self.generators[row]
        if step < 60:
            return self.space.sample(generator, 1)[0] if step % 5 == 4 else self.moves[1]
        if step % 5 == 0:
            return self.moves[generator.choice(5, p=self.weights)]
        return self.held[row]


POLICIES: dict[str, Callable[[ActionSpace], Policy]] = {
    "random": RandomPolicy,
    "sticky": StickyPolicy,
    "rightward": RightwardPolicy,
    "car_racing": CarRacingExplorer,
}
"""Policies that need only the space of their actions, by the names that stage=rollout has."""
