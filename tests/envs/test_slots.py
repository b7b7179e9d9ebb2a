"""Slots whatever they show: seeds, masks, idle slots, frame skip; observations here are numbers."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.slots import SlotVectorEnv, Transitions
from world_models.envs.spec import EnvSpec

COUNTER_SPEC = EnvSpec(
    "Counter-v0",
    {},
    Preprocessing((0, 0, 0, 0), 16, False),
    1,
    ActionSpace("discrete", 3, (), (), ()),
    None,
)


class Counter(SlotVectorEnv):
    """Shows the seed and a sum of actions; terminates where the sum is 5 or more."""

    def __init__(self, num_envs: int, frame_skip: int = 1) -> None:
        space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        super().__init__(replace(COUNTER_SPEC, frame_skip=frame_skip), num_envs, space)
        self.state = np.zeros((num_envs, 2), np.float32)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> np.ndarray:
        self.state[slots] = np.stack([seeds, np.zeros(len(seeds))], axis=1)
        return self.state[slots]

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        self.state[slots, 1] += actions
        ended = self.state[slots, 1] >= 5
        return self.state[slots], actions.astype(np.float32), ended, np.zeros(len(slots), bool)


def test_observations_are_what_the_subclass_says() -> None:
    envs = Counter(3)
    observations, info = envs.reset(seed=[7, 8, 9])
    assert observations in envs.observation_space and info == {}
    assert observations.tolist() == [[7, 0], [8, 0], [9, 0]]
    observations, rewards, terminated, truncated, _ = envs.step(np.array([0, 1, 2]))
    assert observations[:, 1].tolist() == rewards.tolist() == [0, 1, 2]
    assert not terminated.any() and not truncated.any()
    observations[:] = -1
    assert envs.step(np.zeros(3, int))[0][:, 1].tolist() == [0, 1, 2], "the caller has a copy"


def test_an_action_is_repeated_until_the_episode_ends() -> None:
    envs = Counter(2, frame_skip=4)
    envs.reset(seed=[0, 1])
    observations, rewards, terminated, _, _ = envs.step(np.array([1, 2]))
    assert observations[:, 1].tolist() == [4, 6], "the second ended after three repetitions"
    assert rewards.tolist() == [4, 6] and terminated.tolist() == [False, True]


def test_idle_slots_show_their_last_observation() -> None:
    envs = Counter(3)
    envs.reset(seed=[0, 1, 2])
    envs.step(np.array([2, 2, 2]))
    envs.stop(np.array([True, False, False]))
    observations, rewards, *_ = envs.step(np.array([1, 1, 1]))
    assert observations[:, 1].tolist() == [2, 3, 3] and rewards.tolist() == [0, 1, 1]
    observations, _ = envs.reset(seed=[5], options={"reset_mask": np.array([True, False, False])})
    assert observations.tolist() == [[5, 0], [1, 3], [2, 3]] and envs.alive.all()


def test_a_number_is_the_first_of_the_seeds() -> None:
    envs = Counter(3)
    assert envs.reset(seed=4)[0][:, 0].tolist() == [4, 5, 6]
    after = envs.reset()[0]
    envs.reset(seed=4)
    assert np.array_equal(envs.reset()[0], after)


def test_seeds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="1 seeds given for 2 slots"):
        Counter(2).reset(seed=[0])
    with pytest.raises(ValueError, match=r"2\*\*31"):
        Counter(2).reset(seed=[0, 2**31])
