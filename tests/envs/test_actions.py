"""Squashing, bounds, one-hot rows, round trips and refusals."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from world_models.envs.actions import ActionSpace, Squash

CAR = Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))
CAR_SQUASH = [Squash.affine, Squash.affine, Squash.positive]


def test_squash_values_against_the_formulas() -> None:
    space = ActionSpace.from_gymnasium(CAR, CAR_SQUASH)
    raw = np.array([[0, 0, 0], [0.5, -0.5, 0.5], [-2, 2, -2]], np.float32)
    expected = np.stack(
        [np.tanh(raw[:, 0]), (np.tanh(raw[:, 1]) + 1) / 2, np.maximum(np.tanh(raw[:, 2]), 0)],
        axis=1,
    )
    assert space.from_raw(raw).dtype == np.float32
    np.testing.assert_allclose(space.from_raw(raw), expected, atol=1e-6)


def test_affine_reaches_both_bounds_and_no_further() -> None:
    box = Box(np.array([-2, 3], np.float32), np.array([2, 7], np.float32))
    space = ActionSpace.from_gymnasium(box, [])
    assert space.squash == ("affine", "affine")
    np.testing.assert_array_equal(space.from_raw(np.full((1, 2), 50, np.float32)), [[2, 7]])
    np.testing.assert_array_equal(space.from_raw(np.full((1, 2), -50, np.float32)), [[-2, 3]])
    noise = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32) * 3
    assert all(box.contains(action) for action in space.from_raw(noise))


def test_discrete_is_argmax_from_start_and_one_hot() -> None:
    space = ActionSpace.from_gymnasium(Discrete(3, start=5), [])
    actions = space.from_raw(np.array([[0, 2, 1], [9, 0, 0]], np.float32))
    assert actions.dtype == np.int64
    np.testing.assert_array_equal(actions, [6, 5])
    np.testing.assert_array_equal(
        space.to_model(actions), np.array([[0, 1, 0], [1, 0, 0]], np.float32)
    )
    assert space.to_model(actions.reshape(2, 1)).shape == (2, 1, 3)
    assert space.to_model(actions).dtype == np.float32


def test_actions_are_taken_back_to_raw_numbers() -> None:
    space = ActionSpace.from_gymnasium(CAR, CAR_SQUASH)
    raw = np.array([[0, 1.5, 0.5], [-1.9, -1.9, 1.9], [0.3, 0, 0.01]], np.float32)
    np.testing.assert_allclose(space.to_raw(space.from_raw(raw)), raw, atol=1e-5)
    bounds = np.array([[-1, 0, 1], [1, 1, 0]], np.float32)
    np.testing.assert_allclose(space.to_raw(bounds), [[-2, -2, 2], [2, 2, -0.5]], rtol=1e-5)
    assert np.abs(space.from_raw(space.to_raw(bounds)) - bounds).max() < 0.04
    wide = ActionSpace.from_gymnasium(
        Box(np.array([-2], np.float32), np.array([6], np.float32)), []
    )
    np.testing.assert_allclose(wide.to_raw(np.array([[2], [6]], np.float32)), [[0], [2]], rtol=1e-5)
    discrete = ActionSpace.from_gymnasium(Discrete(3, start=5), [])
    np.testing.assert_array_equal(discrete.from_raw(discrete.to_raw(np.array([7, 5]))), [7, 5])


def test_the_model_sees_box_actions_unchanged() -> None:
    actions = np.array([[0.1, 0.2, 0.3]], np.float32)
    np.testing.assert_array_equal(
        ActionSpace.from_gymnasium(CAR, CAR_SQUASH).to_model(actions), actions
    )


@pytest.mark.parametrize("space", [CAR, Discrete(4, start=2)])
def test_round_trips(space: gymnasium.Space) -> None:
    described = ActionSpace.from_gymnasium(space, [])
    assert ActionSpace.from_dict(json.loads(json.dumps(described.to_dict()))) == described
    assert described.to_gymnasium() == space
    assert (described.dtype, described.shape) == (space.dtype, space.shape)


@pytest.mark.parametrize("space", [CAR, Discrete(4, start=2)])
def test_samples_are_uniform_seeded_actions(space: gymnasium.Space) -> None:
    described = ActionSpace.from_gymnasium(space, [])
    actions = described.sample(np.random.default_rng(1), 4000)
    assert actions.dtype == described.dtype and actions.shape == (4000, *described.shape)
    assert all(space.contains(action) for action in actions)
    np.testing.assert_array_equal(actions, described.sample(np.random.default_rng(1), 4000))
    expected = (CAR.low + CAR.high) / 2 if isinstance(space, Box) else 3.5
    np.testing.assert_allclose(actions.mean(axis=0), expected, atol=0.06)


@pytest.mark.parametrize(
    ("space", "squash", "words"),
    [
        (gymnasium.spaces.MultiDiscrete([2, 3]), [], "not supported"),
        (gymnasium.spaces.Dict({"a": Discrete(2)}), [], "not supported"),
        (Box(-np.inf, np.inf, (2,)), [], "finite bounds"),
        (Box(-1, 1, (2, 2)), [], "1-D"),
        (Box(0, 5, (2,), np.int64), [], "of one float or more"),
        (CAR, [Squash.affine], "env.squash has 1 entries"),
        (Box(1, 2, (1,)), [Squash.positive], "low <= 0 < high"),
        (Discrete(3), [Squash.affine], "env.squash"),
    ],
)
def test_refusals_are_one_sentence(
    space: gymnasium.Space, squash: list[Squash], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        ActionSpace.from_gymnasium(space, squash)
    assert "\n" not in str(caught.value)


def test_what_lies_in_a_space_is_what_gymnasium_says() -> None:
    rng = np.random.default_rng(0)
    box = Box(np.float32([-1, 0]), np.float32([1, 0.5]))
    actions = rng.uniform(-2, 2, (200, 2)).astype(np.float32)
    actions[:3] = [[1, 0.5], [np.nan, 0], [0, np.inf]]
    assert ActionSpace.from_gymnasium(box, []).contains(actions).tolist() == [
        box.contains(action) for action in actions
    ]
    numbered = Discrete(5, start=2)
    numbers = np.arange(-3, 12)
    expected = [numbered.contains(number) for number in numbers]
    assert ActionSpace.from_gymnasium(numbered, []).contains(numbers).tolist() == expected


def test_bounds_far_apart_are_spanned_all_the_same() -> None:
    most = float(np.finfo(np.float32).max)
    space = ActionSpace.from_gymnasium(Box(-most, most, (2,), np.float32), [])
    raw = np.array([[0.0, 0.5], [-9.0, 9.0]], np.float32)
    actions = space.from_raw(raw)
    np.testing.assert_allclose(actions, [[0, np.tanh(0.5) * most], [-most, most]], rtol=1e-5)
    assert actions.dtype == np.float32 and space.contains(actions).all()
    assert np.abs(space.to_raw(actions[:1]) - raw[:1]).max() < 1e-5
    drawn = space.sample(np.random.default_rng(0), 100)
    assert np.isfinite(drawn).all() and len(np.unique(drawn)) == 200
    assert space.to_gymnasium() == Box(-most, most, (2,), np.float32)


def test_bounds_that_no_action_can_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="finite bounds"):
        ActionSpace.from_gymnasium(Box(-1e300, 1e300, (2,), np.float64), [])
