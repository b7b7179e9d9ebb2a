"""Reads from several shards against the same reads done row by row."""

import numpy as np
import pytest

from world_models.data.arrays import gather, gather_runs

Shards = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def shards() -> Shards:
    """Three shards of 40, 7 and 90 rows with two columns."""
    draw = np.random.default_rng(0)
    return [(draw.integers(0, 255, (rows, 6, 2), np.uint8), draw.random(rows, np.float32)) for rows in (40, 7, 90)]


def places(shards: Shards, items: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of `length` rows, some of which run into the end of their shard and repeat its last row."""
    draw = np.random.default_rng(1)
    numbers = draw.integers(0, len(shards), items)
    sizes = np.array([len(shards[number][0]) for number in numbers])
    starts = draw.integers(0, sizes)
    return numbers, np.minimum(starts[:, None] + np.arange(length), sizes[:, None] - 1)


def one_by_one(shards: Shards, column: int, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    windows = [
        np.stack([shards[number][column][row] for row in window]) for number, window in zip(numbers, rows, strict=True)
    ]
    return np.stack(windows)


@pytest.mark.parametrize(("items", "length"), [(1, 1), (1, 12), (5, 12), (64, 3)])
def test_runs_are_gathered_as_row_by_row(shards: Shards, items: int, length: int) -> None:
    numbers, rows = places(shards, items, length)
    found = gather_runs(lambda shard: shards[shard], numbers, rows)
    for column, values in enumerate(found):
        assert values.dtype == shards[0][column].dtype and values.flags.owndata
        assert np.array_equal(values, one_by_one(shards, column, numbers, rows))


@pytest.mark.parametrize("items", [1, 64])
def test_rows_are_gathered_as_row_by_row(shards: Shards, items: int) -> None:
    numbers, windows = places(shards, items, 1)
    for column in (0, 1):
        values = gather(lambda shard, column=column: shards[shard][column], numbers, windows[:, 0])
        assert values.dtype == shards[0][column].dtype and values.flags.owndata
        assert np.array_equal(values, one_by_one(shards, column, numbers, windows)[:, 0])


@pytest.mark.parametrize("first", [-1, 5])
def test_rows_outside_a_shard_are_refused(shards: Shards, first: int) -> None:
    with pytest.raises(AssertionError):
        gather_runs(lambda shard: shards[shard], np.array([1]), np.array([[first, first + 1, first + 2]]))
    with pytest.raises((AssertionError, IndexError)):
        gather(lambda shard: shards[shard][0], np.array([1, 1]), np.array([first, first + 2]))
