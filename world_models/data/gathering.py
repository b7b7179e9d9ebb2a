"""Rows of several shards gathered into one array."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np

from world_models.data.maps import Array, items_by_shards
from world_models.runs.numbers import num_cores


def gather(column: Callable[[int], Array], shards: Array, rows: Array) -> Array:
    """Rows (B,) of the arrays column(shard), one shard per item (B,), as a new array (B, ...).

    One read per item: it takes as long whether the items lie in a few shards or in many.
    """
    assert len(shards) == len(rows) > 0 and rows.min() >= 0, (shards.shape, rows.shape)
    like = column(int(shards[0]))
    out = np.empty((len(rows), *like.shape[1:]), like.dtype)
    for items in items_by_shards(shards):
        found = {shard: column(shard) for shard in set(shards[items].tolist())}
        for item, shard, row in zip(
            items, shards[items].tolist(), rows[items].tolist(), strict=True
        ):
            out[item] = found[shard][row]
    return out


PARALLEL_READ_BYTES = 1 << 20
"""Reads of at least so many bytes are shared among threads.

One core does not use all of the memory's bandwidth.
"""


def gather_runs(
    columns: Callable[[int], Sequence[Array]], shards: Array, rows: Array
) -> list[Array]:
    """Ascending rows (B, R) of every array in columns(shard), each as a new array (B, R, ...).

    `shards` (B,) names one shard per item. There is one read per item and column: for items that
    are runs of rows much faster than `gather`.
    """
    assert len(shards) == len(rows) > 0 and rows.min() >= 0, (shards.shape, rows.shape)
    numbers = shards.tolist()
    likes = columns(numbers[0])
    joined = [np.empty((*rows.shape, *like.shape[1:]), like.dtype) for like in likes]
    for items in items_by_shards(shards):
        found = {shard: columns(shard) for shard in {numbers[item] for item in items}}
        runs = [(item, found[numbers[item]], rows[item]) for item in items]
        _in_threads(partial(_copy, joined), runs, sum(out.nbytes for out in joined))
    return joined


Run = tuple[int, Sequence[Array], Array]
"""The number of an item, the columns it lies in, and its rows."""


def _copy(joined: list[Array], runs: Iterable[Run]) -> None:
    for item, columns, wanted in runs:
        assert wanted[-1] < len(columns[0]), (item, wanted[-1], len(columns[0]))
        for out, column in zip(joined, columns, strict=True):
            # the mode without a copy in between
            column.take(wanted, axis=0, out=out[item], mode="clip")


def _in_threads(copy: Callable[[Iterable[Run]], None], runs: list[Run], num_bytes: int) -> None:
    """Copy all runs; where they are large, threads help.

    numpy lets go of the lock while it copies.
    """
    num_helpers = num_cores() - 1 if num_bytes >= PARALLEL_READ_BYTES else 0
    # shared: whoever is free takes the next one
    left = iter(runs)
    helping = [_helpers(os.getpid()).submit(copy, left) for _ in range(num_helpers)]
    copy(left)
    for helper in helping:
        if not helper.cancel():
            helper.result()


@cache
def _helpers(process: int) -> ThreadPoolExecutor:
    """The threads of this process: a forked one does not have those of its parent."""
    return ThreadPoolExecutor(num_cores(), "gather")
