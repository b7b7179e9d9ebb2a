"""In which order M reads its data.

It reads loose windows, or whole episodes chunk by chunk with a state that is carried along.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from world_models.data.batch import LatentBatch
from world_models.data.datasets import LatentSequenceDataset, batches
from world_models.runs import ranks, seeding

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunks:
    """What one step of training reads: R windows, each by one row of the carried state."""

    # (R,) windows of the data set
    items: Numbers
    # (R,) rows of the state, ascending
    rows: Numbers
    # (R,) read from a zero state, not from the one that the row carries
    fresh: npt.NDArray[np.bool_]
    # which of the step's windows these are, where processes share them out
    own: ranks.Part | None = None

    @property
    def part(self) -> ranks.Part:
        """Which of the step's windows these are."""
        return self.own or ranks.whole(len(self.items))


def own_chunks(order: Iterator[Chunks], num_rows: int) -> Iterator[Chunks]:
    """The windows of each step that are read by the rows, of `num_rows`, of this process.

    A row stays with its process, and so does the state that it carries.
    """
    for step in order:
        first, last = np.searchsorted(step.rows, ranks.bounds(num_rows)).tolist()
        part = ranks.between(first, last, len(step.items))
        yield Chunks(step.items[part.rows], step.rows[part.rows], step.fresh[part.rows], part)


def window_chunks(
    data: LatentSequenceDataset,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    count: int | None = None,
    shuffle: bool = True,
    terminal_prob: float = 0.0,
) -> Iterator[Chunks]:
    """Windows from anywhere, each read from a zero state; `seed` to `shuffle` as for `batches`.

    With probability `terminal_prob` a window is replaced by the one that ends its episode, where
    the episode ended by its rules. Without that, stride-1 windows would show an end `seq_len` times
    less often than any other step.
    """
    num_drawn = len(data) if count is None else count
    drawn = seeding.generator(seed, "terminal", epoch).random(num_drawn, np.float32)
    order = list(
        batches(
            len(data), batch_size, seed=seed, epoch=epoch, start=start, count=count, shuffle=shuffle
        )
    )
    if not order:
        return
    items = np.concatenate(order)
    replaced = drawn[start * batch_size :][: len(items)] < terminal_prob
    items = np.where(replaced, data.closing(items), items)
    for first in range(0, len(items), batch_size):
        chosen = items[first : first + batch_size]
        yield Chunks(chosen, np.arange(len(chosen)), np.ones(len(chosen), bool))


def episode_chunks(
    data: LatentSequenceDataset,
    num_rows: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    shuffle: bool = True,
) -> Iterator[Chunks]:
    """Whole episodes of a data set whose stride is its seq_len: a function of its arguments alone.

    Each of `num_rows` rows reads an episode window by window, from a zero state. Then it takes the
    next one of the order, or drops out where none is left. `start` skips the steps already done.
    """
    assert data.stride == data.seq_len, (data.stride, data.seq_len)
    windows = data.windows_per_episode
    order = np.arange(len(windows))
    if shuffle:
        seeding.generator(seed, "episodes", epoch).shuffle(order)
    for items, fresh in zip(*_timetable(windows, order, num_rows, start), strict=True):
        rows = np.flatnonzero(items >= 0)
        yield Chunks(items[rows], rows, fresh[rows])


def read_chunks(
    data: LatentSequenceDataset, order: Iterator[Chunks]
) -> Iterator[tuple[Chunks, LatentBatch]]:
    """The steps of an order with what they read.

    As many are read at once as is cheap: one at a time, small reads cost M 8 %.
    """
    for chunks in order:
        ahead = data.latents.cheap_rows // (len(chunks.items) * (data.seq_len + 1))
        steps = [chunks, *islice(order, max(0, ahead - 1))]
        batch = data.__getitems__(np.concatenate([step.items for step in steps]))
        ends = np.cumsum([len(step.items) for step in steps])
        for step, end in zip(steps, ends, strict=True):
            yield step, batch.columns(end - len(step.items), end)


def _timetable(
    windows: Numbers, order: Numbers, num_rows: int, start: int
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Who reads what when, from step `start` on.

    Gives items (steps, num_rows), -1 where nothing is left, and whether each is read from a zero
    state, of the same shape.
    """
    ends = np.cumsum(windows)
    # a heap of (step at which it is free, row)
    free = [(0, row) for row in range(num_rows)]
    turns = []
    for episode in order:
        begin, row = free[0]
        heapq.heapreplace(free, (begin + int(windows[episode]), row))
        turns.append((episode, begin, row))
    items = np.full((max(free)[0], num_rows), -1, np.int64)
    fresh = np.zeros(items.shape, bool)
    for episode, begin, row in turns:
        items[begin : begin + windows[episode], row] = np.arange(
            ends[episode] - windows[episode], ends[episode]
        )
        fresh[begin, row] = True
    return items[start:], fresh[start:]
