"""Budgets and plans of a search, against counting by hand."""

import re
from datetime import datetime, timedelta

import numpy as np
import pytest

from world_models.search.budget import Budget, Pace
from world_models.search.evolution import Evolution
from world_models.search.reference import CAR_RACING, expected
from world_models.search.search import Search


def fresh() -> Search:
    """A search of 8 candidates at its first generation."""
    evolution = Evolution(np.zeros(3), pop_size=8, sigma0=0.1, seed=0)
    return Search(evolution)


def after(generations: int, steps: int = 1000, seconds: float = 2.0) -> Search:
    """A search of 8 candidates that has played so many generations."""
    search = fresh()
    for _ in range(generations):
        search.evolution.ask()
        search.tell(np.random.default_rng(0).normal(size=(8, 2)), steps, seconds)
    return search


def test_generations_steps_and_minutes_each_end_a_search() -> None:
    assert not Budget(5, None, None, None).is_over(after(4)) and Budget(
        5, None, None, None
    ).is_over(after(5))
    assert not Budget(None, 4001, None, None).is_over(after(4)) and Budget(
        None, 4000, None, None
    ).is_over(after(4))
    minutes = Budget(None, None, 0.1, None)  # 6 seconds at 500 steps/s
    assert minutes.steps(after(0)) is None and minutes.steps(after(1)) == 3000
    assert not minutes.is_over(after(2)) and minutes.is_over(after(3))
    assert Budget(None, 2000, 0.1, None).steps(after(1)) == 2000


def test_the_rate_is_that_of_the_first_generation() -> None:
    search = after(1)
    search.evolution.ask()
    search.tell(np.zeros((8, 1)), 1000, 50.0)
    assert search.rate == 500 and search.env_steps == 2000 and search.samples == [2, 1]


def test_a_disturbed_generation_is_no_measure_of_the_rate() -> None:
    def told(*undisturbed: bool) -> Search:
        search = after(0)
        for generation, calm in enumerate(undisturbed, start=1):
            search.evolution.ask()
            search.tell(np.zeros((8, 1)), 1000 * generation, 1.0, undisturbed=calm)
        return search

    assert [
        told(*calm).rate for calm in ((False,), (False, True, True), (False, False, False))
    ] == [None, 2000, 3000]
    minutes = Budget(None, None, 1.0, None)
    assert minutes.total(told(False)) is None and not minutes.is_over(told(False))
    assert minutes.total(told(False, True)) == 80  # of 1,500 steps each, as far as is known


def test_the_target_ends_a_search() -> None:
    search = after(1)
    search.offer(np.ones(3), 10.0)
    search.offer(np.zeros(3), 9.0)
    assert search.best is not None and np.array_equal(search.best.vector, np.ones(3))
    assert Budget(5, None, None, 10.0).is_over(search) and not Budget(5, None, None, 10.5).is_over(
        search
    )


def test_the_best_tested_is_kept_and_restored() -> None:
    search = after(2)
    for place, score in enumerate((3.0, 9.0, 5.0, 9.0, 7.0)):
        search.offer(np.full(3, float(place)), score)
    again = fresh()
    again.restore(search.state())
    for one in (search, again):
        assert one.best is not None
        # of equals the earlier
        assert (one.best.score, one.best.vector[0]) == (one.best_score, 1) == (9.0, 1)
    assert fresh().best is None and fresh().best_score == -np.inf


def test_the_plan_tells_what_the_published_search_had() -> None:
    plan = Budget(None, 50_000, None, None).plan(after(2), "CarRacing-v3", Pace(2100.4, 20.0, 0.25))
    assert plan.startswith(
        "2,100 steps/s, 20 s per generation and 5 s of tests: "
        "50 generations of 8 x 2 episodes, until about "
    )
    end = datetime.strptime(re.search(r"about (\d\d:\d\d)", plan)[1], "%H:%M")
    expected_end = datetime.now() + timedelta(seconds=48 * 25 + 60)
    assert (
        abs((end.hour * 60 + end.minute) - (expected_end.hour * 60 + expected_end.minute)) % 1439
        <= 1
    )
    far = Budget(5000, None, None, None).plan(after(2), "CarRacing-v3", Pace(2100.0, 20.0))
    assert re.search(r"until about \d{4}-\d\d-\d\d \d\d:\d\d$", far)
    assert plan.endswith(
        "the published population had 767, its mean vector 868, in 29 h on 64 cores"
    )
    assert expected("CarRacing-v3", 1801) is None
    assert "published" not in Budget(9, None, None, None).plan(
        after(2), "Acrobot-v1", Pace(2100.0, 20.0)
    )


@pytest.mark.parametrize("row", CAR_RACING)
def test_the_published_search_is_met_where_it_was_read(
    row: tuple[int, float, float, float],
) -> None:
    found = expected("CarRacing-v3", row[0])
    assert found is not None
    assert (found.population, found.hours) == row[1:4:2]
    assert found.mean_vector == (None if np.isnan(row[2]) else row[2])
