"""CarRacing's road: kept within a step, and the same pixel for pixel."""

from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import pytest

from world_models.envs.road import keep_road


def played(env: Any) -> list[np.ndarray]:
    """What is observed and shown through the beginnings of two episodes."""
    seen = []
    for seed in (3, 4):
        seen.append(env.reset(seed=seed)[0])
        for _ in range(4):
            seen.append(env.render())
            seen.append(env.step(np.array([0.3, 1.0, 0.0], np.float32))[0])
    return seen


def test_both_pictures_are_as_without_it() -> None:
    pytest.importorskip("Box2D")
    free, kept = (gymnasium.make("CarRacing-v3", render_mode="rgb_array") for _ in range(2))
    keep_road(kept.unwrapped)
    np.testing.assert_equal(played(kept), played(free))
    free.close()
    kept.close()


def test_a_step_draws_one_road() -> None:
    pytest.importorskip("Box2D")
    env = gymnasium.make("CarRacing-v3", render_mode="rgb_array")
    drawing: Any = env.unwrapped
    with mock.patch.object(drawing, "_render_road", wraps=drawing._render_road) as draw:
        keep_road(drawing)
        keep_road(drawing)
        env.reset(seed=3)
        env.render()
        assert draw.call_count == 1
        env.step(np.array([0.0, 1.0, 0.0], np.float32))
        env.render()
        assert draw.call_count == 2
    env.close()


def test_other_environments_are_left_alone() -> None:
    env = gymnasium.make("CartPole-v1")
    before = dict(vars(env.unwrapped))
    keep_road(env.unwrapped)
    assert vars(env.unwrapped).keys() == before.keys()
    env.close()
