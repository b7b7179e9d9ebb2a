"""Bursts: as often and as long as they say, and a function of each row's seed and agent."""

import numpy as np
import pytest

from world_models.agents.bursts import Bursts
from world_models.envs.actions import ActionSpace

CAR = ActionSpace("box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), ("affine", "affine", "positive"))
KEYS = ActionSpace("discrete", 5, (), (), ())


def disturbed(most: float, seeds: list[int], steps: int) -> tuple[Bursts, np.ndarray]:
    """Actions (steps, N, 3) of an agent that counts its steps, which no random action does."""
    bursts = Bursts(CAR, most)
    bursts.reset(seeds)
    rows = np.arange(len(seeds))
    wanted = np.broadcast_to(np.arange(2.0, steps + 2)[:, None, None], (steps, len(seeds), 3))
    return bursts, np.stack([bursts.disturb(now.astype(np.float32), rows) for now in wanted])


def runs_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and end of each run of True that begins and ends within the steps."""
    edges = np.flatnonzero(np.diff(mask.astype(int))) + 1
    whole = edges[int(mask[0]) :]
    return list(zip(whole[::2], whole[1::2], strict=False))


def own(actions: np.ndarray) -> np.ndarray:
    """Which numbers of the actions of `disturbed` are the agent's own at that moment."""
    return actions == np.arange(2, len(actions) + 2)[:, None, None]


def test_each_row_is_disturbed_for_its_own_share_of_the_steps() -> None:
    bursts, actions = disturbed(0.4, list(range(30)), 6000)
    # the first step of one that holds the agent's action does not show
    taken = (~own(actions)).any(-1).mean(0)
    # of some 48 bursts in an episode at a share of 0.2 the standard deviation is 0.025
    np.testing.assert_allclose(taken, bursts.shares * (1 - 0.5 / 25), atol=0.1)
    assert (taken - bursts.shares * (1 - 0.5 / 25)).mean() == pytest.approx(0, abs=0.015)
    assert bursts.shares.min() > 0 and bursts.shares.max() < 0.4 and bursts.shares.std() > 0.08


def test_bursts_have_their_length_and_hold_the_agents_action_or_one_number() -> None:
    _, actions = disturbed(0.1, list(range(30)), 3000)
    mine = own(actions)
    lengths, stuck, numbers = [], [], []
    for row in range(30):
        for start, end in runs_of((~mine[:, row]).any(-1)):
            burst = actions[start:end, row]
            held = (burst == burst[0]).all(0)
            is_stuck = bool((burst == start + 1).all())
            lengths.append(end - start + is_stuck)
            stuck.append(is_stuck)
            if not is_stuck and held.sum() == 1:
                assert -1 <= burst[0, held] <= 1 and mine[start:end, row][:, ~held].all()
                numbers.append(int(np.flatnonzero(held)[0]))
    # two bursts may follow each other without a step between
    assert min(lengths) >= 10 and np.mean(np.array(lengths) <= 40) > 0.95
    assert np.median(lengths) == pytest.approx(25, abs=3)
    assert np.mean(stuck) == pytest.approx(0.5, abs=0.1)
    assert np.bincount(numbers, minlength=3).min() > 0.2 * len(numbers)


def test_bursts_may_be_shorter_and_all_of_random_actions() -> None:
    bursts = Bursts(KEYS, 0.2, (2, 8), stuck=0)
    bursts.reset(list(range(30)))
    rows = np.arange(30)
    # the agent does what no random action does
    done = np.stack([bursts.disturb(np.full(30, 9), rows) for _ in range(3000)])
    found = [done[start:end, row] for row in range(30) for start, end in runs_of(done[:, row] != 9)]
    lengths = np.array([len(burst) for burst in found])
    assert lengths.min() == 2 and np.mean(lengths <= 8) > 0.9
    assert np.median(lengths) == pytest.approx(5, abs=1)
    assert all((burst == burst[0]).all() for burst in found if len(burst) < 4)
    assert set(np.concatenate(found).tolist()) == set(range(5))


def test_a_row_depends_on_its_seed_alone() -> None:
    _, together = disturbed(0.5, [5, 6, 5], 300)
    np.testing.assert_array_equal(together[:, 0], together[:, 2])
    assert not np.array_equal(together[:, 0], together[:, 1])
    np.testing.assert_array_equal(disturbed(0.5, [6], 300)[1][:, 0], together[:, 1])


def test_rows_that_have_ended_change_nothing_for_the_others() -> None:
    keys, alone = Bursts(KEYS, 0.9), Bursts(KEYS, 0.9)
    keys.reset([1, 3])
    alone.reset([3])
    found = []
    for step in range(200):
        rows = np.array([0, 1]) if step < 50 else np.array([1])
        found.append(keys.disturb(np.full(len(rows), step), rows)[-1])
        assert found[-1] == alone.disturb(np.array([step]), np.array([0]))[0]
    taken = np.array(found) != np.arange(200)
    assert 0.4 < taken.mean() < 0.9 and set(found) & set(range(5))
