from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from world_models.data.chunks import Chunks, episode_chunks, read_chunks, window_chunks
from world_models.data.datasets import LatentSequenceDataset, batches
from world_models.data.latents import OnlineLatents
from world_models.data.store import EpisodeStore

MakeStore = Callable[..., EpisodeStore]
LENGTHS = [5, 1, 9, 4, 12, 3, 7]


def latent_windows(store: EpisodeStore, seq_len: int, stride: int) -> LatentSequenceDataset:
    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frames[:, 0, 0, :2].float(), -frames[:, 0, 0, :2].float()

    source = OnlineLatents(store, encode, latent_size=2)
    return LatentSequenceDataset(
        store, source, None, seq_len, stride, to_model=lambda actions: actions
    )


def equal(left: list[Chunks], right: list[Chunks]) -> bool:
    columns = [
        [array for chunk in chunks for array in vars(chunk).values()] for chunks in (left, right)
    ]
    return all(map(np.array_equal, *columns)) and len(left) == len(right)


@pytest.mark.parametrize("rows", [1, 3, 7, 10])
@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_read_every_episode_once_from_its_beginning_to_its_end(
    make_store: MakeStore, rows: int, shuffle: bool
) -> None:
    """Each row's steps, put behind one another, are whole episodes.

    `fresh` says exactly where one begins.
    """
    data = latent_windows(make_store(), 4, 4)
    read = {row: [] for row in range(rows)}
    for chunk in episode_chunks(data, rows, seed=3, epoch=1, shuffle=shuffle):
        batch = data.__getitems__(chunk.items)
        for column, row in enumerate(chunk.rows):
            steps = batch.mask[:, column].bool()
            t, number = batch.mu[:-1, column][steps].unbind(-1)
            assert bool(chunk.fresh[column]) == bool(t[0] == 0)
            read[row] += list(zip(number.tolist(), t.tolist(), strict=True))
    joined = [step for row in read.values() for step in row]
    assert sorted(joined) == [
        (number, t) for number, length in enumerate(LENGTHS) for t in range(length)
    ]
    for steps in read.values():
        for before, after in pairwise(steps):
            follows = after == (before[0], before[1] + 1)
            assert follows or (after[1] == 0 and before[1] == LENGTHS[int(before[0])] - 1)


def test_a_row_that_falls_free_takes_the_next_episode(make_store: MakeStore) -> None:
    # chunks per episode: 2, 1, 3, 1, 3, 1, 2
    data = latent_windows(make_store(), 4, 4)
    steps = list(episode_chunks(data, 3, seed=0, epoch=0, shuffle=False))
    first = [step.items[step.fresh].tolist() for step in steps]
    starts = np.cumsum(data.windows_per_episode) - data.windows_per_episode
    assert first == [
        starts[[0, 1, 2]].tolist(),
        [starts[3]],
        [starts[4], starts[5]],
        [starts[6]],
        [],
    ]
    assert [step.rows.tolist() for step in steps] == [[0, 1, 2]] * 3 + [[0, 1]] * 2


def test_the_order_of_episodes_is_a_function_of_seed_epoch_and_position(
    make_store: MakeStore,
) -> None:
    data = latent_windows(make_store(), 4, 4)
    whole = list(episode_chunks(data, 3, seed=1, epoch=4))
    for start in range(len(whole) + 1):
        assert equal(list(episode_chunks(data, 3, seed=1, epoch=4, start=start)), whole[start:])
    for seed, epoch in ((2, 4), (1, 5)):
        other = list(episode_chunks(data, 3, seed=seed, epoch=epoch))
        assert not all(
            map(np.array_equal, [step.items for step in other], [step.items for step in whole])
        )


def test_chunks_need_a_stride_that_leaves_nothing_out_or_twice(make_store: MakeStore) -> None:
    with pytest.raises(AssertionError):
        next(episode_chunks(latent_windows(make_store(), 4, 1), 2, seed=0, epoch=0))


def test_windows_are_the_batches_each_from_a_zero_state(make_store: MakeStore) -> None:
    data = latent_windows(make_store(), 4, 1)
    keys = {"seed": 1, "epoch": 2, "start": 1, "count": 19}
    for chunk, items in zip(
        window_chunks(data, 8, **keys), batches(len(data), 8, **keys), strict=True
    ):
        assert np.array_equal(chunk.items, items) and chunk.fresh.all()
        assert np.array_equal(chunk.rows, np.arange(len(items)))


@pytest.mark.parametrize("terminal_prob", [0.2, 1.0])
def test_windows_become_the_ends_of_their_episodes_with_terminal_prob(
    make_store: MakeStore, terminal_prob: float
) -> None:
    """Episode 0 terminates, episode 1 is cut off: of its windows none is replaced."""
    data = latent_windows(make_store(lengths=[5_000, 5_000]), 4, 1)

    def items(probability: float) -> np.ndarray:
        chunks = window_chunks(data, 16, seed=0, epoch=0, terminal_prob=probability)
        return np.concatenate([chunk.items for chunk in chunks])

    plain, drawn = items(0.0), items(terminal_prob)
    replaced = plain != drawn
    first = plain < len(data) // 2
    assert set(drawn[replaced]) == {len(data) // 2 - 1} and not replaced[~first].any()
    assert replaced[first].mean() == pytest.approx(terminal_prob, abs=0.02)


def test_replaced_windows_are_a_function_of_the_position(make_store: MakeStore) -> None:
    data = latent_windows(make_store(), 4, 1)
    keys = {"seed": 1, "epoch": 2, "count": 19, "terminal_prob": 0.5}
    whole = list(window_chunks(data, 4, **keys))
    for start in range(6):
        assert equal(list(window_chunks(data, 4, start=start, **keys)), whole[start:])


@pytest.mark.parametrize("cheap_rows", [1, 100, 10_000])
@pytest.mark.parametrize("sequences", ["windows", "episodes"])
def test_steps_read_several_at_once_are_those_read_one_by_one(
    make_store: MakeStore, sequences: str, cheap_rows: int
) -> None:
    """... and a read takes as many steps as fit into `cheap_rows`, at least one."""
    data = latent_windows(make_store(), 4, 4 if sequences == "episodes" else 1)
    reads = []
    order = episode_chunks if sequences == "episodes" else window_chunks
    data.latents.cheap_rows = cheap_rows
    expected = [
        (chunks, data.__getitems__(chunks.items)) for chunks in order(data, 3, seed=1, epoch=4)
    ]
    whole = data.latents.gather
    data.latents.gather = lambda shards, rows: reads.append(rows.size) or whole(shards, rows)
    found = list(read_chunks(data, order(data, 3, seed=1, epoch=4)))
    assert equal([chunks for chunks, _ in found], [chunks for chunks, _ in expected])
    for (_, left), (_, right) in zip(found, expected, strict=True):
        assert all(map(torch.equal, vars(left).values(), vars(right).values()))
    assert len(reads) == {1: len(expected), 100: -(-len(expected) // 6), 10_000: 1}[cheap_rows]
    assert max(reads) <= max(cheap_rows, 3 * 5)
