"""Intervals over episodes."""

import math

import numpy as np
import pytest

from world_models.measures import bootstrap
from world_models.measures.bootstrap import ratio, ratio_interval


def test_a_ratio_of_sums() -> None:
    assert ratio(np.array([1.0, 5.0]), np.array([2.0, 2.0])) == 1.5
    assert math.isnan(ratio(np.array([1.0]), np.array([0.0])))


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = ratio_interval(values, np.ones(400))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )


def test_numerator_and_denominator_are_drawn_together() -> None:
    below = np.arange(1.0, 20.0)
    assert ratio_interval(0.5 * below, below) == (0.5, 0.5)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_episodes_have_no_interval(count: int) -> None:
    assert np.isnan(ratio_interval(np.ones(count), np.ones(count))).all()


def test_episodes_without_anything_below_do_no_harm() -> None:
    below = np.array([0.0, 0.0, 0.0, 0.0, 2.0])
    assert ratio_interval(3 * below, below) == (3.0, 3.0)
    assert np.isnan(ratio_interval(below, 0 * below)).all()


def test_the_interval_does_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values, below = np.random.default_rng(2).normal(size=(2, 30)) ** 2
    whole = ratio_interval(values, below)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 100)
    assert ratio_interval(values, below) == whole
