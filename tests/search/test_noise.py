"""How far ranks can be trusted: against their definition, and on simulated candidates."""

import numpy as np
import pytest

from world_models.search.noise import fitness, next_samples, rank_reliability


def simulated(noise: float, tracks: int, candidates: int = 20_000) -> np.ndarray:
    """Candidates of true worth N(0, 1), returns with noise, tracks of different difficulty."""
    draw = np.random.default_rng(0)
    worth, difficulty = draw.normal(size=(candidates, 1)), 5 * draw.normal(size=(1, tracks))
    return worth + difficulty + noise * draw.normal(size=(candidates, tracks))


@pytest.mark.parametrize(("noise", "tracks"), [(0.5, 2), (1.0, 4), (2.0, 4), (2.0, 16)])
def test_reliability_is_the_share_of_the_variance_that_is_worth(noise: float, tracks: int) -> None:
    """Of a mean over n tracks: 1 / (1 + noise^2 / n); ranks are a little worse than values."""
    assert rank_reliability(simulated(noise, tracks)) == pytest.approx(
        1 / (1 + noise**2 / tracks), abs=0.04
    )


def test_reliability_of_nothing_but_noise_is_none() -> None:
    draw = np.random.default_rng(0)
    found = [rank_reliability(draw.normal(size=(64, 4))) for _ in range(300)]
    assert np.mean(found) == pytest.approx(0, abs=0.05)


def test_reliability_by_its_definition() -> None:
    """Ranks 0, 1.5, 1.5, 3 and 0, 2, 1, 3: correlation 4.5 / sqrt(4.5 * 5), stepped up."""
    returns = np.array([[1.0, 10], [2, 30], [2, 20], [5, 40]])
    half = 4.5 / np.sqrt(4.5 * 5)
    assert rank_reliability(returns) == pytest.approx(2 * half / (1 + half))


def test_reliability_needs_two_tracks_and_a_difference() -> None:
    assert np.isnan(rank_reliability(np.ones((5, 1))))
    assert np.isnan(rank_reliability(np.array([[1.0, 1], [1, 2], [1, 3]])))


def test_fitness_is_the_mean_and_nobody_gains_by_a_missing_episode() -> None:
    nan = np.nan
    returns = np.array([[900.0, 100, nan], [900, nan, nan], [nan, nan, nan], [-4, 0, nan]])
    np.testing.assert_array_equal(fitness(returns), [500, 450, -2, -2])
    assert rank_reliability(returns) == rank_reliability(
        np.array([[900.0, 100], [900, 0], [-4, 0], [-4, 0]])
    )


def test_samples_grow_when_ranks_become_noisy() -> None:
    clear, noisy = [0.8] * 5, [0.1] * 5
    assert next_samples([], [], 16, 0.3, 2) == 2
    assert next_samples([2] * 5, clear, 16, 0.3, 2) == 2
    assert next_samples([2] * 4, noisy[:4], 16, 0.3, 2) == 2, "four generations are too few to tell"
    assert next_samples([2] * 10, clear + noisy, 16, 0.3, 2) == 3
    assert next_samples([2] * 5 + [3], [*noisy, 0.1], 16, 0.3, 2) == 3, (
        "counted anew after each growth"
    )
    assert next_samples([3] * 5, noisy, 4, 0.3, 2) == 4 == next_samples([4] * 5, noisy, 4, 0.3, 2)
    assert next_samples([3] * 5, [np.nan] * 5, 9, 0.3, 2) == 3
