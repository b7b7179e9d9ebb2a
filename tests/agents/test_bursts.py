"""Bursts: as often and as long as they say, and a function of each row's seed."""

import numpy as np
import pytest

from world_models.agents.bursts import Bursts
from world_models.envs.actions import ActionSpace

CAR = ActionSpace("box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), ("affine", "affine", "positive"))
KEYS = ActionSpace("discrete", 5, (), (), ())
AGENT = np.array([9.0, 9.0, 9.0], np.float32)
"""What no burst can do."""


def disturbed(most: float, seeds: list[int], steps: int) -> tuple[Bursts, np.ndarray]:
    """Actions (steps, N, 3) of an agent that always does the same."""
    bursts = Bursts(CAR, most)
    bursts.reset(seeds)
    actions, rows = np.tile(AGENT, (len(seeds), 1)), np.arange(len(seeds))
    return bursts, np.stack([bursts.disturb(actions, rows) for _ in range(steps)])


def runs_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and end of each run of True that begins and ends within the steps."""
    edges = np.flatnonzero(np.diff(mask.astype(int))) + 1
    whole = edges[int(mask[0]) :]
    return list(zip(whole[::2], whole[1::2], strict=False))


def test_each_row_is_disturbed_for_its_own_share_of_the_steps() -> None:
    bursts, actions = disturbed(0.4, list(range(30)), 6000)
    taken = (actions != AGENT).any(-1).mean(0)
    # of some 48 bursts in an episode at a share of 0.2 the standard deviation is 0.025
    np.testing.assert_allclose(taken, bursts.shares, atol=0.1)
    assert (taken - bursts.shares).mean() == pytest.approx(0, abs=0.015)
    assert bursts.shares.min() > 0 and bursts.shares.max() < 0.4 and bursts.shares.std() > 0.08


def test_bursts_have_their_length_and_hold_or_draw() -> None:
    _, actions = disturbed(0.1, list(range(30)), 3000)
    lengths, held = [], []
    for row in range(30):
        for start, end in runs_of((actions[:, row] != AGENT).any(-1)):
            lengths.append(end - start)
            held.append(len(np.unique(actions[start:end, row], axis=0)) == 1)
    # two bursts may follow each other without a step between
    assert min(lengths) >= 10 and np.mean(np.array(lengths) <= 40) > 0.95
    assert np.median(lengths) == pytest.approx(25, abs=2)
    assert np.mean(held) == pytest.approx(0.5, abs=0.1)
    space = CAR.to_gymnasium()
    assert all(space.contains(action) for action in actions[actions[..., 0] != 9.0])


def test_a_row_depends_on_its_seed_alone() -> None:
    _, together = disturbed(0.5, [5, 6, 5], 300)
    np.testing.assert_array_equal(together[:, 0], together[:, 2])
    assert not np.array_equal(together[:, 0], together[:, 1])
    np.testing.assert_array_equal(disturbed(0.5, [6], 300)[1][:, 0], together[:, 1])


def test_rows_that_have_ended_change_nothing_for_the_others() -> None:
    keys = Bursts(KEYS, 0.9)
    alone = Bursts(KEYS, 0.9)
    keys.reset([1, 2])
    alone.reset([2])
    for step in range(200):
        rows = np.array([0, 1]) if step < 50 else np.array([1])
        action = keys.disturb(np.full(len(rows), 7), rows)[-1]
        assert action == alone.disturb(np.array([7]), np.array([0]))[0]
