"""Agents in a notebook: by name, and what they say of arrays that they do not take."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import world_models
from world_models.agents.opened import OpenedRun


@pytest.fixture(scope="module")
def agent() -> OpenedRun:
    return world_models.load("car_racing")


def frames(count: int) -> np.ndarray:
    return np.zeros((count, 64, 64, 3), np.uint8)


def test_a_packaged_agent_goes_by_its_name(agent: OpenedRun, tmp_path: Path) -> None:
    assert agent.env.id == "CarRacing-v3"
    agent.save(tmp_path / "agent.pt")
    assert world_models.load(tmp_path).env == agent.env, "the folder of a run, too"
    with pytest.raises(ValueError, match=r"give one of car_racing, or an agent\.pt"):
        world_models.load("lunar_lander")


def test_the_package_says_its_types() -> None:
    assert (Path(world_models.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (frames(2)[None], r"uint8 \(1, 2, 64, 64, 3\); it takes "),
        (np.zeros((2, 96, 96, 3), np.uint8), r"\(2, 96, 96, 3\); it takes "),
        (frames(2) / 255, r"float64 \(2, 64, 64, 3\); it takes "),
    ],
)
def test_other_arrays_are_refused(agent: OpenedRun, given: np.ndarray, said: str) -> None:
    for deed in (agent.reconstruct, lambda array: agent.dream(array, [], 2)):
        with pytest.raises(ValueError, match=said):
            deed(given)


def test_what_a_dream_of_m_shows_is_not_for_the_whole_agent(agent: OpenedRun) -> None:
    agent.reset(2)
    with pytest.raises(ValueError, match="call the agent itself"):
        agent.act(np.zeros((2, 288), np.float32))


def test_a_dream_is_of_one_episode_with_all_its_actions(agent: OpenedRun) -> None:
    assert agent.dream(frames(3), np.zeros((5, 3), np.float32), horizon=2).shape == (2, 64, 64, 3)
    with pytest.raises(ValueError, match="has 3 actions; it takes one for each of the 3 frames"):
        agent.dream(frames(3), np.zeros((3, 3), np.float32), horizon=2)
    with pytest.raises(ValueError, match="it takes frames of one episode, uint8"):
        agent.dream(frames(3)[None], np.zeros((5, 3), np.float32), horizon=2)


@pytest.mark.parametrize(
    ("actions", "horizon", "words"),
    [
        ([0, 1, 2, 9], 1, "actions that are none: they are whole numbers from 0 to 4"),
        ([0, 1, 2, -1], 1, "actions that are none"),
        ([0.0, 1.0, 2.0, 0.5], 1, "actions that are none"),
        ([0, 1, 2], 0, "horizon=0; it takes 1 or more"),
    ],
)
def test_a_dream_of_what_cannot_be_done(
    finished: Path, actions: list[Any], horizon: int, words: str
) -> None:
    agent = world_models.load(finished / "controller")
    with pytest.raises(ValueError, match=f"agent.dream has {words}"):
        agent.dream(np.zeros((3, 64, 64, 3), np.uint8), np.array(actions), horizon)


@pytest.mark.parametrize("episodes", [-1, 1.5, "2"])
def test_a_number_of_episodes_that_is_none(finished: Path, episodes: Any) -> None:
    with pytest.raises(ValueError, match=r"agent\.reset has .*; it takes a number of episodes"):
        world_models.load(finished / "controller").reset(episodes)


def test_an_agent_is_saved_under_a_typed_path(finished: Path, tmp_path: Path) -> None:
    path = f"{tmp_path}/new/agent.pt"
    world_models.load(finished / "controller").save(path)
    assert world_models.load(path).env == world_models.load(finished / "controller").env
