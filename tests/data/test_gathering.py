"""Reads from several shards against the same reads done row by row."""

from collections.abc import Callable

import numpy as np
import pytest
from torch.utils.data import DataLoader

from world_models.data import gathering
from world_models.data.datasets import SequenceDataset, batches, identity
from world_models.data.gathering import gather, gather_runs
from world_models.data.store import EpisodeStore

Shards = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def shards() -> Shards:
    """Three shards of 40, 7 and 90 rows with two columns."""
    draw = np.random.default_rng(0)
    return [
        (draw.integers(0, 255, (rows, 6, 2), np.uint8), draw.random(rows, np.float32))
        for rows in (40, 7, 90)
    ]


def places(shards: Shards, items: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of `length` rows.

    Some of them run into the end of their shard and repeat its last row.
    """
    draw = np.random.default_rng(1)
    numbers = draw.integers(0, len(shards), items)
    sizes = np.array([len(shards[number][0]) for number in numbers])
    starts = draw.integers(0, sizes)
    return numbers, np.minimum(starts[:, None] + np.arange(length), sizes[:, None] - 1)


def one_by_one(shards: Shards, column: int, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    windows = [
        np.stack([shards[number][column][row] for row in window])
        for number, window in zip(numbers, rows, strict=True)
    ]
    return np.stack(windows)


@pytest.mark.parametrize("parallel_bytes", [0, 1 << 30], ids=["threads", "one thread"])
@pytest.mark.parametrize(("items", "length"), [(1, 1), (1, 12), (5, 12), (64, 3)])
def test_runs_are_gathered_as_row_by_row(
    shards: Shards, items: int, length: int, parallel_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PARALLEL_READ_BYTES", parallel_bytes)
    monkeypatch.setattr(gathering, "num_cores", lambda: 3)
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


@pytest.mark.parametrize("parallel_bytes", [0, 1 << 30], ids=["threads", "one thread"])
@pytest.mark.parametrize("first", [-1, 5])
def test_rows_outside_a_shard_are_refused(
    shards: Shards, first: int, parallel_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PARALLEL_READ_BYTES", parallel_bytes)
    with pytest.raises(AssertionError):
        gather_runs(
            lambda shard: shards[shard], np.array([1]), np.array([[first, first + 1, first + 2]])
        )


def test_a_forked_loader_reads_after_its_parent_did(
    make_store: Callable[..., EpisodeStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PARALLEL_READ_BYTES", 0)
    monkeypatch.setattr(gathering, "num_cores", lambda: 2)
    dataset = SequenceDataset(make_store(), None, 4)
    order = list(batches(len(dataset), 8, seed=0, epoch=0))
    expected = [dataset.__getitems__(indices).frames for indices in order]
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        collate_fn=identity,
        num_workers=1,
        multiprocessing_context="fork",
        timeout=60,
    )
    for mine, batch in zip(expected, loader, strict=True):
        assert np.array_equal(mine, batch.frames)
