"""CMA-ES: it maximises, and a replayed search goes on with the very same numbers."""

from typing import Any

import numpy as np
import pytest

from world_models.search.evolution import Evolution

OPTIMUM = np.linspace(-0.5, 0.5, 12)


def sphere(population: np.ndarray) -> list[float]:
    """Largest, 0, at OPTIMUM."""
    return (-((population - OPTIMUM) ** 2).sum(1)).tolist()


def evolution(seed: int = 0, **options: Any) -> Evolution:
    return Evolution(np.zeros(len(OPTIMUM)), pop_size=12, sigma0=0.1, seed=seed, **options)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_sphere_is_maximised(diagonal: bool) -> None:
    search = evolution(diagonal=diagonal)
    for _ in range(150):
        search.tell(sphere(search.ask()))
    assert np.abs(search.mean - OPTIMUM).max() < 1e-3
    assert search.sigma < 0.01


def test_diagonal_adapts_variances_alone() -> None:
    """On an ellipsoid along the axes both find the scales; on a turned one diagonal is slower."""
    scales = np.logspace(0, 4, 12)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))

    def reached(axes: np.ndarray, diagonal: bool) -> float:
        search = evolution(diagonal=diagonal)
        for _ in range(250):
            population = search.ask()
            search.tell((-scales * np.square((population - OPTIMUM) @ axes)).sum(1).tolist())
        return float((scales * np.square((search.mean - OPTIMUM) @ axes)).sum())

    assert reached(np.eye(12), True) < reached(np.eye(12), False)
    assert reached(turn, True) > 10 * reached(turn, False)


def test_weight_decay_shrinks_the_parameters() -> None:
    """The optimum of -|x - o|^2 - d |x|^2 is o / (1 + d)."""
    search = evolution(weight_decay=3.0)
    for _ in range(150):
        search.tell(sphere(search.ask()))
    np.testing.assert_allclose(search.mean, OPTIMUM / 4, atol=1e-3)


def test_a_search_goes_on_from_another_with_its_covariance() -> None:
    first, whole = evolution(), evolution()
    for search in (first, whole):
        for _ in range(20):
            search.tell(sphere(search.ask()))
    later = evolution(seed=7, ancestors=first.segments)
    assert later.generation == 0 and later.sigma == first.sigma
    np.testing.assert_array_equal(later.mean, first.mean)
    assert not np.array_equal(later.ask(), whole.ask()), "with draws of its own"
    later.tell(sphere(later.ask()))
    last = evolution(seed=8, ancestors=later.segments)
    np.testing.assert_array_equal(last.mean, later.mean)
    assert not np.array_equal(
        evolution(ancestors=first.segments).ask() - first.mean, evolution().ask()
    ), "the seed's own"
    assert [len(segment.history) for segment in last.segments] == [20, 1, 0]


def test_the_champion_is_the_best_of_the_last_generation() -> None:
    search = evolution()
    for _ in range(3):
        population = search.ask()
        search.tell(sphere(population))
    np.testing.assert_array_equal(search.champion, population[np.argmax(sphere(population))])


def test_a_replayed_search_asks_the_same() -> None:
    search, history = evolution(), []
    for _ in range(25):
        history.append(sphere(search.ask()))
        search.tell(history[-1])
    replayed = evolution()
    replayed.replay(history)
    assert replayed.generation == 25 and replayed.sigma == search.sigma
    np.testing.assert_array_equal(replayed.mean, search.mean)
    np.testing.assert_array_equal(replayed.ask(), search.ask())


def test_seeds_and_generations_draw_different_candidates() -> None:
    first, other = evolution(0).ask(), evolution(1).ask()
    assert not np.array_equal(first, other)
    search = evolution()
    search.tell(sphere(search.ask()))
    assert not np.array_equal(search.ask() - search.mean, first)


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    evolution().ask()
    assert np.random.random() == expected
