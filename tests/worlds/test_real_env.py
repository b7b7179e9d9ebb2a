"""The environment behind V and M, beside the agent that looks through them by itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds.test_dream_env import predictor  # noqa: F401  # a fixture

from world_models.agents.agent import load_agent
from world_models.agents.control import ControllerPolicy
from world_models.agents.rollout import play
from world_models.data.view import View
from world_models.envs.make import Backend, make_vector_env
from world_models.worlds.dream_env import open_dream
from world_models.worlds.pixel import PixelPredictor
from world_models.worlds.real_env import Pictures, RealEnv, open_real


def test_what_is_observed_is_what_the_agents_own_perception_sees(finished: Path) -> None:
    agent = load_agent(finished / "controller/agent.pt")
    vectors = agent.controllers["best"][None]
    inputs = agent.world.controller_inputs
    expected = play(make_vector_env(agent.env, Backend.auto, 3), agent.policy(), range(4))
    policy = ControllerPolicy(inputs, agent.env.action_space, vectors)
    envs = open_real(finished, 5)
    assert play(envs, policy, range(4)) == expected
    other = ControllerPolicy(inputs, agent.env.action_space, -vectors)
    assert play(envs, other, range(4)) != expected
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
