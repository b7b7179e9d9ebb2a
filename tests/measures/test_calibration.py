"""Reliability, Brier score, AUROC and reward bins, counted by hand."""

import math

import numpy as np
import pytest

from world_models.measures.calibration import (
    auroc,
    done_rows,
    done_scores,
    reward_rows,
    reward_scores,
    wilson,
)


def test_reliability_by_hand() -> None:
    probability = np.array([0.0, 0.0005, 0.001, 0.2, 0.25, 0.29, 0.3, 1.0])
    ended = np.array([0, 0, 1, 1, 0, 0, 1, 1], bool)
    rows = done_rows(probability, ended)
    assert [(row.start, row.stop, row.count) for row in rows] == [
        (0.0, 0.001, 2),
        (0.001, 0.01, 1),
        (0.1, 0.3, 3),
        (0.3, 0.5, 1),
        (0.97, 1.0, 1),
    ]
    assert [row.observed for row in rows] == pytest.approx([0, 1, 1 / 3, 1, 1])
    assert [row.predicted for row in rows] == pytest.approx([0.00025, 0.001, 0.74 / 3, 0.3, 1.0])
    assert all(row.quantity == "done" and row.low <= row.observed <= row.high for row in rows)


def test_wilsons_interval() -> None:
    assert wilson(0.1, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_brier_score_beside_the_base_rates() -> None:
    probability, ended = np.array([0.1, 0.8, 0.3]), np.array([False, True, True])
    brier, area = done_scores(probability, ended, rate=0.25)
    assert brier.value == pytest.approx((0.01 + 0.04 + 0.49) / 3)
    assert brier.baseline == pytest.approx((0.0625 + 2 * 0.5625) / 3)
    assert (area.name, area.value, area.baseline) == ("done_auroc", 1.0, 0.5)


def test_auroc_counts_pairs() -> None:
    draw = np.random.default_rng(0)
    scores = draw.integers(0, 12, 150) / 10
    positive = draw.random(150) < 0.2
    wins = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(wins))
    assert math.isnan(auroc(scores, np.zeros(150, bool)))
    assert math.isnan(auroc(scores, np.ones(150, bool)))


def test_reward_bins_hold_equally_many_steps_in_order() -> None:
    draw = np.random.default_rng(1)
    predicted = draw.permutation(200) / 100.0
    rewards = 3 * predicted + 1
    rows = reward_rows(predicted, rewards)
    assert [row.count for row in rows] == [20] * 10
    for index, row in enumerate(rows):
        inside = np.arange(20 * index, 20 * index + 20) / 100
        assert (row.start, row.stop) == (inside[0], inside[-1])
        assert row.predicted == pytest.approx(inside.mean())
        assert row.observed == pytest.approx(3 * inside.mean() + 1)
        half = 1.96 * 3 * inside.std() / math.sqrt(20)
        assert (row.low, row.high) == pytest.approx(
            (row.observed - half, row.observed + half), rel=1e-3
        )


def test_equal_predictions_make_one_bin() -> None:
    (row,) = reward_rows(np.full(30, 0.5), np.arange(30.0))
    assert (row.count, row.predicted, row.observed) == (30, 0.5, 14.5)


def test_reward_scores_beside_the_training_mean() -> None:
    predicted, rewards = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0])
    error, explained = reward_scores(predicted, rewards, mean=2.0)
    assert error.value == pytest.approx(2 / 3) and error.baseline == pytest.approx((1 + 1 + 9) / 3)
    assert explained.value == pytest.approx(1 - (2 / 3) / (8 / 3))
    assert explained.baseline == pytest.approx(1 - (11 / 3) / (8 / 3)), (
        "below 0: the mean has moved"
    )
    assert math.isnan(reward_scores(predicted, np.ones(3), 1.0)[1].value)
