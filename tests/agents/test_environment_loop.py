"""The environment loop.

Frame t goes with action t and reward t, limits cut where they should, rows do not mix.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from world_models.agents.rollout import collect, interact, play
from world_models.data.episode import TERMINATED, TRUNCATED
from world_models.envs.actions import ActionSpace
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

SPEC = EnvSpec(
    "Clock",
    {},
    Preprocessing((0, 0, 0, 0), 16, False),
    1,
    ActionSpace("box", 1, (0.0,), (255.0,), ("affine",)),
    None,
)


class Clock(PixelVectorEnv):
    """The picture shows the time t, and the reward is 100 t + the action.

    The episode of seed s terminates after s steps.
    """

    def __init__(self, num_envs: int) -> None:
        super().__init__(SPEC, num_envs)
        self.time, self.ends = np.zeros(num_envs, int), np.zeros(num_envs, int)

    def _pictures_of(self, slots: np.ndarray) -> Sequence[np.ndarray]:
        return [np.full((16, 16, 3), self.time[slot], np.uint8) for slot in slots]

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        self.time[slots] = 0
        self.ends[slots] = seeds
        return self._pictures_of(slots)

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Any:
        rewards = (100 * self.time[slots] + actions[:, 0]).astype(np.float32)
        self.time[slots] += 1
        return (
            self._pictures_of(slots),
            rewards,
            self.time[slots] == self.ends[slots],
            np.zeros(len(slots), bool),
        )


class TimeTeller:
    """The action is the time that the frame shows."""

    def reset(self, seeds: Sequence[int]) -> None:
        self.calls = 0

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.calls += 1
        return frames[:, 0, 0, :1].astype(np.float32)


class Lazy(TimeTeller):
    """Never earns anything after the second step."""

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        time = frames[:, 0, 0, :1].astype(np.float32)
        return np.where(time < 2, 1.0, -100.0 * time).astype(np.float32)


def test_collected_frames_actions_and_rewards_are_aligned() -> None:
    for episode, length in zip(collect(Clock(3), TimeTeller(), [4, 9, 2]), [4, 9, 2], strict=True):
        steps = np.arange(length)
        assert episode.length == length and episode.seed == length
        np.testing.assert_array_equal(episode.frames[:, 0, 0, 0], np.arange(length + 1))
        np.testing.assert_array_equal(episode.actions[:-1, 0], steps)
        np.testing.assert_array_equal(episode.rewards[:-1], 101 * steps)
        np.testing.assert_array_equal(episode.done[:-1], [0] * (length - 1) + [TERMINATED])


def test_scores_do_not_depend_on_the_neighbours() -> None:
    together = play(Clock(4), TimeTeller(), [5, 3, 8])
    alone = [play(Clock(1), TimeTeller(), [seed])[0] for seed in (5, 3, 8)]
    assert together == alone
    assert [score.length for score in together] == [5, 3, 8]
    assert together[1].total_return == 101 * (0 + 1 + 2)


def test_max_steps_truncates() -> None:
    short, long = collect(Clock(2), TimeTeller(), [3, 50], max_steps=6)
    assert (short.length, short.done[2]) == (3, TERMINATED)
    assert (long.length, long.done[5]) == (6, TRUNCATED)
    assert long.frames[6, 0, 0, 0] == 6


def test_termination_at_the_limit_is_a_termination() -> None:
    (episode,) = collect(Clock(1), TimeTeller(), [6], max_steps=6)
    assert episode.done[5] == TERMINATED


@pytest.mark.parametrize(("early_cut", "length"), [(0, 40), (5, 7), (1, 3)])
def test_hopeless_episodes_are_cut(early_cut: int, length: int) -> None:
    (score,) = play(Clock(1), Lazy(), [40], early_cut=early_cut)
    assert score.length == length


def test_steps_name_the_rows_that_are_alive() -> None:
    alive = [step.rows.tolist() for step in interact(Clock(3), TimeTeller(), [2, 1, 3])]
    assert alive == [[0, 1, 2], [0, 2], [2]]


def test_free_slots_take_the_episodes_that_wait() -> None:
    lengths = [5, 3, 8, 2, 9, 1, 4]
    scores = play(Clock(2), TimeTeller(), lengths)
    assert scores == play(Clock(7), TimeTeller(), lengths)
    busy = [len(step.rows) for step in interact(Clock(2), TimeTeller(), lengths)]
    assert sum(busy) == sum(lengths) and set(busy[:-9]) == {2}, (
        "both slots work until the last episodes"
    )
