"""Worlds with known rules, in which the best sequence of actions is known."""

from typing import NamedTuple

import numpy as np
import torch

from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.draws import Draws
from world_models.worlds.world import Advance, select

BOX = ActionSpace("box", 2, (-1.0, -1.0), (1.0, 1.0), ("affine", "affine"))
CPU = torch.device("cpu")


def spec_of(space: ActionSpace) -> EnvSpec:
    return EnvSpec("Toy-v0", {}, Preprocessing((0, 0, 0, 0), 64, False), 1, space, 100)


class Point(NamedTuple):
    # (B, 2)
    position: torch.Tensor


class PointWorld:
    """An action moves a point; what is rewarded is to be near the goal, by short moves."""

    device, num_starts = CPU, 1
    env = spec_of(BOX)

    def __init__(self, goal: tuple[float, float] = (0.5, -0.3), price: float = 0.5) -> None:
        self.goal, self.price = torch.tensor(goal), price

    def begin(self, starts: np.ndarray, draws: Draws) -> Point:
        return Point(torch.zeros(len(starts), 2))

    def advance(self, state: Point, actions: torch.Tensor, draws: Draws) -> Advance[Point]:
        position = state.position + actions
        far, long = (values.square().sum(1) for values in (position - self.goal, actions))
        return Advance(Point(position), -far - self.price * long, None)

    def observe(self, state: Point) -> torch.Tensor:
        return state.position

    def picture(self, state: Point) -> torch.Tensor:
        raise NotImplementedError

    def best_actions(self, start: np.ndarray, horizon: int) -> np.ndarray:
        """The best actions (H, 2): where the gradient of the quadratic return is zero."""
        sums = np.tril(np.ones((horizon, horizon)))
        curvature = sums.T @ sums + self.price * np.eye(horizon)
        wanted = np.outer(sums.sum(0), self.goal.numpy() - start)
        return np.linalg.solve(curvature, wanted)


class Tile(NamedTuple):
    # (B,) int64
    number: torch.Tensor


class TableWorld:
    """Rewards, ends and the next of S tiles, as tables (S, A) say."""

    device, num_starts = CPU, 1

    def __init__(self, rewards: np.ndarray, ends: np.ndarray, following: np.ndarray) -> None:
        tables = (rewards.astype(np.float32), ends.astype(np.float32), following)
        self.rewards, self.ends, self.following = map(torch.from_numpy, tables)
        self.env = spec_of(ActionSpace("discrete", rewards.shape[1], (), (), ()))

    def begin(self, starts: np.ndarray, draws: Draws) -> Tile:
        return Tile(torch.from_numpy(starts))

    def advance(self, state: Tile, actions: torch.Tensor, draws: Draws) -> Advance[Tile]:
        place = (state.number, actions.argmax(1))
        return Advance(Tile(self.following[place]), self.rewards[place], self.ends[place])

    def observe(self, state: Tile) -> torch.Tensor:
        return state.number.float()[:, None]

    def picture(self, state: Tile) -> torch.Tensor:
        raise NotImplementedError


class Clear:
    """Sight of an environment that shows the world's state as it is."""

    def __init__(self, kind: type[Point] | type[Tile]) -> None:
        self.kind = kind

    def reset(self, seeds: list[int]) -> None:
        self.seen: dict[int, np.ndarray] = {}

    def see(self, observations: np.ndarray, rows: np.ndarray) -> None:
        self.seen.update(zip(rows.tolist(), observations, strict=True))

    def states(self, rows: np.ndarray) -> Point | Tile:
        shown = torch.from_numpy(np.stack([self.seen[row] for row in rows.tolist()]))
        return select(self.kind(shown), slice(None))

    def remember(self, actions: np.ndarray, rows: np.ndarray) -> None:
        pass
