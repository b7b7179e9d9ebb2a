"""Aggregate scores against their definitions, and intervals against what is known of them."""

import itertools

import numpy as np
import pytest

from world_models.measures.aggregates import (
    STATISTICS,
    at_least_human,
    estimate,
    normalised,
    probability_of_improvement,
    profile,
)

GAMES = {"A": np.array([0.0, 0.2, 0.4]), "B": np.array([1.0, 1.4, 3.0]), "C": np.array([0.5] * 3)}


def value(name: str, games: dict[str, np.ndarray] = GAMES) -> float:
    return estimate(STATISTICS[name], games).value


def test_scores_lie_between_the_two_references() -> None:
    low, high = {"A": np.array([10.0, 30.0])}, {"A": np.array([120.0])}
    found = normalised({"A": np.array([20.0, 70.0, 120.0])}, low, high)
    np.testing.assert_allclose(found["A"], [0, 0.5, 1])


def test_aggregates_of_a_small_table_by_hand() -> None:
    assert value("mean") == pytest.approx((0.2 + 1.8 + 0.5) / 3)
    assert value("median") == pytest.approx(0.5)
    # nine runs: 0 0.2 | 0.4 0.5 0.5 0.5 1 | 1.4 3
    assert value("IQM") == pytest.approx((0.4 + 1.5 + 1) / 5)
    short = [1, 0.8, 0.6, 0, 0, 0, 0.5, 0.5, 0.5]
    assert value("optimality gap") == pytest.approx(sum(short) / 9)
    assert at_least_human(GAMES) == 1


def test_one_good_game_moves_the_mean_alone() -> None:
    better = {**GAMES, "B": GAMES["B"] + np.array([0, 0, 100])}
    assert value("mean", better) > value("mean") + 10
    for name in ("median", "IQM", "optimality gap"):
        assert value(name, better) == pytest.approx(value(name))


def test_the_chance_to_improve_is_a_count_of_pairs() -> None:
    theirs = {"A": np.array([0.2, 0.3]), "B": np.array([5.0]), "C": np.array([0.5])}
    pairs = {game: itertools.product(runs, theirs[game]) for game, runs in GAMES.items()}
    wins = [np.mean([(x > y) + (x == y) / 2 for x, y in found]) for found in pairs.values()]
    found = probability_of_improvement(GAMES, theirs)
    assert found.value == pytest.approx(np.mean(wins))
    assert found.value + probability_of_improvement(theirs, GAMES).value == pytest.approx(1)
    assert probability_of_improvement(GAMES, GAMES).value == pytest.approx(0.5)


def test_an_interval_is_that_of_the_mean_where_it_is_known() -> None:
    """The mean of n runs has the standard error s / sqrt(n)."""
    runs = np.random.default_rng(1).normal(size=400)
    found = estimate(STATISTICS["mean"], {"A": runs})
    error = runs.std() / 20
    assert found.low == pytest.approx(runs.mean() - 1.96 * error, abs=0.25 * error)
    assert found.high == pytest.approx(runs.mean() + 1.96 * error, abs=0.25 * error)


def test_runs_are_drawn_within_their_own_game() -> None:
    """Games that differ, runs that do not: there is no spread."""
    steady = {"A": np.zeros(5), "B": np.full(5, 9.0)}
    for statistic in STATISTICS.values():
        found = estimate(statistic, steady)
        assert found.low == found.value == found.high


def test_a_single_run_tells_of_no_spread() -> None:
    single = {"A": np.array([1.0]), "B": np.array([2.0])}
    found = estimate(STATISTICS["mean"], single)
    assert found.value == 1.5 and np.isnan([found.low, found.high]).all()
    assert np.isnan(probability_of_improvement(single, single).low)


def test_a_profile_says_how_many_runs_are_above() -> None:
    levels = np.array([-1.0, 0.0, 0.45, 2.0, 9.0])
    np.testing.assert_allclose(profile(GAMES, levels), [1, (2 / 3 + 2) / 3, 2 / 3, 1 / 9, 0])
