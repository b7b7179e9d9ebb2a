"""The controller that a search can begin at, against a known one and against least squares."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from world_models.envs.actions import ActionSpace, Squash
from world_models.search.imitation import RIDGE, explained, imitate

CAR = ActionSpace.from_gymnasium(
    Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32)),
    [Squash.affine, Squash.affine, Squash.positive],
)


def features(count: int = 20_000) -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.normal(size=(count, 5)) @ draw.normal(size=(5, 5)) + 2


def driven(weight: np.ndarray, bias: np.ndarray, noise: float) -> np.ndarray:
    """Raw actions of a linear controller that explores."""
    raw = features() @ weight.T + bias
    return (raw + noise * np.random.default_rng(1).normal(size=raw.shape)).astype(np.float32)


def test_a_linear_controller_is_found_again_through_its_own_exploring() -> None:
    box = ActionSpace.from_gymnasium(Box(-2, 3, (2,), np.float32), [])
    weight, bias = 0.03 * np.random.default_rng(2).normal(size=(2, 5)), np.array([0.2, -0.1])
    quiet = imitate(features(), box.from_raw(driven(weight, bias, 0)), box)
    np.testing.assert_allclose(quiet, np.concatenate([weight.ravel(), bias]), atol=1e-3)
    loud = imitate(features(), box.from_raw(driven(weight, bias, 0.3)), box)
    outputs = [features() @ found[:10].reshape(2, 5).T + found[10:] for found in (quiet, loud)]
    assert np.abs(outputs[0] - outputs[1]).std() < 0.01


def test_it_is_ridge_regression_of_the_raw_actions() -> None:
    raw = driven(0.2 * np.random.default_rng(3).normal(size=(3, 5)), np.array([0.0, -0.5, -1]), 0.5)
    actions = CAR.from_raw(raw)
    found, targets = imitate(features(), actions, CAR), CAR.to_raw(actions).astype(np.float64)
    penalty = np.sqrt(RIDGE) * np.eye(5, 6)  # as five more rows
    rows = np.concatenate([np.c_[features(), np.ones(20_000)], penalty])
    theirs, *_ = np.linalg.lstsq(rows, np.concatenate([targets, np.zeros((5, 3))]), rcond=None)
    np.testing.assert_allclose(found, np.concatenate([theirs[:5].T.ravel(), theirs[5]]), atol=1e-8)
    left = targets - np.c_[features(), np.ones(20_000)] @ theirs
    shares = [1 - left[:, dim].var() / targets[:, dim].var() for dim in range(3)]
    assert explained(found, features(), actions, CAR) == pytest.approx(shares, abs=1e-6)
    assert max(shares) - min(shares) > 0.1


def test_discrete_actions_are_chosen_again() -> None:
    space = ActionSpace.from_gymnasium(Discrete(4, start=2), [])
    raw = driven(np.random.default_rng(4).normal(size=(4, 5)), np.zeros(4), 0)
    actions = space.from_raw(raw)
    parameters = imitate(features(), actions, space)
    again = space.from_raw(features() @ parameters[:20].reshape(4, 5).T + parameters[20:])
    assert (again == actions).mean() > 0.8 > 0.1 + np.bincount(actions - 2).max() / len(actions)


def test_what_never_varies_is_no_reason_to_fail() -> None:
    still = np.concatenate([features(), np.ones((20_000, 1))], axis=1)
    actions = CAR.from_raw(np.zeros((20_000, 3), np.float32))
    parameters = imitate(still, actions, CAR)
    np.testing.assert_allclose(parameters, [0] * 18 + [0, 0, -0.5], atol=1e-6)
    assert explained(parameters, still, actions, CAR).tolist() == [1, 1, 1]
