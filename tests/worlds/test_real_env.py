"""The environment behind V and M, beside the agent that looks through them by itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds.test_dream_env import predictor  # noqa: F401  # a fixture

from world_models.agents.agent import load_agent
from world_models.agents.control import ControllerPolicy
from world_models.agents.rollout import play
from world_models.data.view import View
from world_models.envs.make import Backend, make_vector_env
from world_models.worlds.dream_env import open_dream
from world_models.worlds.pixel import PixelPredictor
from world_models.worlds.real_env import Pictures, RealEnv, open_real


class Noting(ControllerPolicy):
    """A controller that notes what it is shown in each episode."""

    def reset(self, seeds: Sequence[int]) -> None:
        super().reset(seeds)
        self.shown: list[list[np.ndarray]] = [[] for _ in seeds]

    def act(self, features: np.ndarray | torch.Tensor, rows: np.ndarray) -> np.ndarray:
        for row, one in zip(rows, np.asarray(features), strict=True):
            self.shown[row].append(one)
        return super().act(features, rows)


def test_what_is_observed_is_what_the_agents_own_perception_sees(finished: Path) -> None:
    agent = load_agent(finished / "controller/agent.pt")
    built = (agent.world.controller_inputs, agent.env.action_space, agent.vector[None])
    whole = agent.policy()
    whole.controller = inside = Noting(*built)
    expected = play(make_vector_env(agent.env, Backend.auto, 3), whole, range(4))
    envs = open_real(finished, 5)
    outside = Noting(*built)
    assert play(envs, outside, range(4)) == expected
    for own, other in zip(inside.shown, outside.shown, strict=True):
        np.testing.assert_allclose(other, own, rtol=1e-4, atol=1e-5)
    first, last = np.array([[rows[0], rows[-1]] for rows in outside.shown]).swapaxes(0, 1)
    assert np.ptp(first, axis=0).max() > 1e-3, "each episode looks different"
    assert np.abs(last - first).max() > 1e-3, "and so does the end of one"
    dream = open_dream(finished, 5)
    assert envs.single_observation_space == dream.single_observation_space
    assert envs.single_action_space == dream.single_action_space


@pytest.mark.parametrize("view", [View(), View(40, True)])
def test_a_pixel_models_view_of_it(predictor: PixelPredictor, view: View) -> None:  # noqa: F811
    plain = make_vector_env(predictor.env, Backend.auto, 2)
    envs = RealEnv(make_vector_env(predictor.env, Backend.auto, 2), Pictures(view))
    shown = replace(predictor, view=view).shown_env.preprocessing
    frames, _ = envs.reset(seed=[1, 2])
    before, _ = plain.reset(seed=[1, 2])
    assert frames in envs.observation_space and frames.shape == (2, shown.size, *frames.shape[2:])
    for action in ([1, 2], [3, 4]):
        frames, *rest = envs.step(np.array(action))
        before, *others = plain.step(np.array(action))
        for one, other in zip(rest[:3], others[:3], strict=True):
            np.testing.assert_array_equal(one, other)
    if view == View():
        np.testing.assert_array_equal(frames, before)
    else:
        assert abs(frames.mean() - before.mean()) < 10 and frames.std() > 5
    assert all(picture.shape == (96, 96, 3) for picture in envs.render())
    envs.close()
