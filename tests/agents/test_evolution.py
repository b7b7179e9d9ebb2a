"""CMA-ES: it maximises, and a replayed search goes on with the very same numbers."""

import numpy as np

from world_models.agents.evolution import Evolution

OPTIMUM = np.linspace(-0.5, 0.5, 12)


def sphere(population: np.ndarray) -> list[float]:
    """Largest, 0, at OPTIMUM."""
    return (-((population - OPTIMUM) ** 2).sum(1)).tolist()


def evolution(seed: int = 0) -> Evolution:
    return Evolution(len(OPTIMUM), pop_size=12, sigma0=0.1, seed=seed)


def test_the_sphere_is_maximised() -> None:
    search = evolution()
    for _ in range(150):
        search.tell(sphere(search.ask()))
    assert np.abs(search.mean - OPTIMUM).max() < 1e-3
    assert search.sigma < 0.01


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
