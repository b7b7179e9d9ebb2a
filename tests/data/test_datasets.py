import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from world_models.data.batch import LatentBatch, SequenceBatch
from world_models.data.datasets import (
    LatentSequenceDataset,
    ObservationDataset,
    RolloutDataset,
    SequenceDataset,
    batches,
    identity,
    to_float,
)
from world_models.data.episode import TERMINATED
from world_models.data.latents import LatentStore, encode_store
from world_models.data.store import EpisodeStore

MakeStore = Callable[..., EpisodeStore]
LENGTHS = [5, 1, 9, 4, 12, 3, 7]
VAE = "a" * 64


def one_hot(actions: np.ndarray) -> np.ndarray:
    return np.eye(16, dtype=np.float32)[actions - 50]


def latent_windows(
    store: EpisodeStore, split: str | None, seq_len: int, stride: int = 1
) -> LatentSequenceDataset:
    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frames[:, 0, 0, :2].float(), -frames[:, 0, 0, :2].float()

    discrete = store.arrays(0).actions.ndim == 1
    encode_store(encode, store, store.folder / "latents", VAE)
    latents = LatentStore.open(store.folder / "latents", VAE, store)
    return LatentSequenceDataset(
        store,
        latents,
        split,
        seq_len,
        stride,
        to_model=one_hot if discrete else lambda actions: actions,
    )


def everything(
    dataset: SequenceDataset | LatentSequenceDataset | RolloutDataset | ObservationDataset,
) -> object:
    return dataset.__getitems__(np.random.default_rng(0).permutation(len(dataset)))


def test_observations_are_every_frame_once(make_store: MakeStore) -> None:
    frames = everything(ObservationDataset(make_store()))
    assert frames.dtype == torch.uint8 and frames.shape[1:] == (4, 4, 3)
    seen = sorted((int(frame[0, 0, 1]), int(frame[0, 0, 0])) for frame in frames)
    assert seen == [(number, t) for number, length in enumerate(LENGTHS) for t in range(length + 1)]


def test_invalid_final_frames_are_never_given(make_store: MakeStore) -> None:
    store = make_store(has_final_frame=False)
    frames = everything(ObservationDataset(store))
    assert len(frames) == store.num_frames() == sum(LENGTHS)
    sequences = everything(SequenceDataset(store, None, 4))
    for seen in (frames, sequences.frames.flatten(0, 1)):
        assert all(int(frame[0, 0, 0]) < LENGTHS[int(frame[0, 0, 1])] for frame in seen)
    latents = everything(latent_windows(store, None, 4)).mu.flatten(0, 1)
    assert all(int(t) < LENGTHS[int(number)] for t, number in latents)


def test_splits_share_no_episode(make_store: MakeStore) -> None:
    store = make_store(val_fraction=0.3)
    train, validation = (
        set(everything(ObservationDataset(store, split))[:, 0, 0, 1].tolist())
        for split in ("train", "validation")
    )
    assert train == {0, 1, 2, 3, 4} and validation == {5, 6}
    assert len(ObservationDataset(make_store(name="all_train"), "validation")) == 0


def test_transitions_are_aligned(make_store: MakeStore) -> None:
    batch = everything(RolloutDataset(make_store()))
    t, number = batch.frames[:, 0, 0, 0], batch.frames[:, 0, 0, 1]
    assert len(t) == sum(LENGTHS)
    assert torch.equal(batch.actions, torch.stack([t, number], 1).float())
    assert torch.equal(batch.rewards, t.float())
    last = t == torch.tensor(LENGTHS)[number.long()] - 1
    assert torch.equal(batch.done != 0, last)


def check_sequence(batch: SequenceBatch, has_final_frame: bool) -> None:
    """Inside the mask: (t, t) -> t+1 where that frame is valid, reward t, one episode.

    Outside: zeros.
    """
    t, number = batch.frames[..., 0, 0, :2].float().unbind(-1)
    mask = batch.mask.bool()
    assert torch.equal(number, number[:, :1].expand_as(number))
    last = t[:, :-1] == torch.tensor(LENGTHS)[number[:, :-1].long()] - 1
    assert torch.equal(batch.next_mask.bool(), mask if has_final_frame else mask & ~last)
    assert torch.equal((t[:, 1:] - t[:, :-1]), batch.next_mask)
    assert torch.equal(batch.actions, torch.stack([t, number], -1)[:, :-1] * batch.mask[..., None])
    assert torch.equal(batch.rewards, t[:, :-1] * batch.mask)
    assert torch.equal(batch.done != 0, last & mask)


@pytest.mark.parametrize("has_final_frame", [True, False])
@pytest.mark.parametrize(("seq_len", "stride"), [(1, 1), (4, 1), (4, 3), (4, 4), (20, 1)])
def test_windows_are_aligned_and_stay_in_one_episode(
    make_store: MakeStore, seq_len: int, stride: int, has_final_frame: bool
) -> None:
    dataset = SequenceDataset(make_store(has_final_frame=has_final_frame), None, seq_len, stride)
    batch = everything(dataset)
    assert batch.frames.shape == (len(dataset), seq_len + 1, 4, 4, 3)
    assert batch.mask.shape == (len(dataset), seq_len)
    check_sequence(batch, has_final_frame)
    seen = {(int(a[1]), int(a[0])) for a in batch.actions[batch.mask.bool()]}
    assert seen == {(number, t) for number, length in enumerate(LENGTHS) for t in range(length)}


def test_number_of_windows(make_store: MakeStore) -> None:
    store = make_store()
    assert len(SequenceDataset(store, None, 4)) == sum(max(length - 4, 0) + 1 for length in LENGTHS)
    assert len(SequenceDataset(store, None, 4, stride=4)) == sum(
        -(-length // 4) for length in LENGTHS
    )
    whole = everything(SequenceDataset(store, None, 4, stride=4))
    assert whole.mask.sum() == sum(LENGTHS)


def check_latents(
    batch: LatentBatch, t: torch.Tensor, number: torch.Tensor, has_final_frame: bool
) -> None:
    assert torch.equal(batch.mu, -batch.logsigma)
    assert torch.equal(t[1:] - t[:-1], batch.next_mask)
    assert torch.equal(number, number[:1].expand_as(number))
    assert torch.equal(batch.rewards, t[:-1] * batch.mask)
    last = (t[:-1] == torch.tensor(LENGTHS)[number[:-1].long()] - 1) * batch.mask
    assert torch.equal(batch.next_mask, batch.mask if has_final_frame else batch.mask - last)
    assert torch.equal(batch.terminated, last * (number[:-1] % 2 == 0))


@pytest.mark.parametrize("has_final_frame", [True, False])
@pytest.mark.parametrize("discrete", [False, True])
def test_latent_windows_are_aligned_time_first(
    make_store: MakeStore, discrete: bool, has_final_frame: bool
) -> None:
    dataset = latent_windows(
        make_store(discrete=discrete, has_final_frame=has_final_frame), None, 4
    )
    batch = everything(dataset)
    items = len(dataset)
    size = 16 if discrete else 2
    assert batch.mu.shape == batch.logsigma.shape == (5, items, 2)
    assert batch.actions.shape == (4, items, size)
    for values in (batch.rewards, batch.terminated, batch.mask, batch.next_mask):
        assert values.shape == (4, items)
    assert all(
        value.dtype == torch.float32 and value.is_contiguous() for value in vars(batch).values()
    )
    t, number = batch.mu.unbind(-1)
    check_latents(batch, t, number, has_final_frame)
    expected = torch.eye(16)[t[:-1].long()] if discrete else torch.stack([t, number], -1)[:-1]
    assert torch.equal(batch.actions, expected * batch.mask[..., None])
    assert batch.terminated.any() and batch.mask.min() == 0
    assert torch.equal(batch.to("cpu").mu, batch.mu)


def test_done_separates_termination_from_a_time_limit(make_store: MakeStore) -> None:
    store = make_store()
    raw = everything(SequenceDataset(store, None, 4))
    latents = everything(latent_windows(store, None, 4))
    assert torch.equal(latents.terminated, (raw.done == TERMINATED).float().T)
    assert latents.terminated.sum() < (raw.done > 0).sum()


def test_the_end_is_seen_where_the_final_frame_is_not_valid(make_store: MakeStore) -> None:
    batch = everything(latent_windows(make_store(has_final_frame=False), None, 4, stride=4))
    assert batch.terminated.sum() == sum(number % 2 == 0 for number in range(len(LENGTHS)))
    assert batch.mask.sum() == sum(LENGTHS) and batch.next_mask.sum() == sum(LENGTHS) - len(LENGTHS)


def test_closing_windows_end_at_the_termination(make_store: MakeStore) -> None:
    dataset = latent_windows(make_store(), None, 2)
    items = np.arange(len(dataset))
    closing = dataset.closing(items)
    before, after = (dataset.__getitems__(each).mu[0, :, 1] for each in (items, closing))
    assert torch.equal(before, after), "still in the same episode"
    odd = before.numpy() % 2 == 1
    assert np.array_equal(closing[odd], items[odd]), "what was only cut off has no end to show"
    ends = dataset.__getitems__(closing[~odd])
    assert torch.equal(ends.terminated.sum(0), torch.ones(sum(~odd)))
    assert all(ends.mu[-1, :, 0] == torch.tensor(LENGTHS)[ends.mu[-1, :, 1].long()])


@pytest.mark.parametrize(("fraction", "episodes"), [(1.0, 5), (0.5, 2), (0.39, 2), (0.01, 1)])
def test_a_fraction_is_the_forepart_of_the_episodes(
    make_store: MakeStore, fraction: float, episodes: int
) -> None:
    store = make_store(val_fraction=0.3)
    latent_windows(store, "train", 4)
    source = LatentStore.open(store.folder / "latents", VAE, store)
    dataset = LatentSequenceDataset(
        store, source, "train", 4, to_model=lambda actions: actions, fraction=fraction
    )
    assert set(everything(dataset).mu[..., 1].flatten().tolist()) == set(range(episodes))
    windows = dataset.windows_per_episode
    assert len(windows) == episodes and windows.sum() == len(dataset)


def test_single_items_and_out_of_range(make_store: MakeStore) -> None:
    dataset = SequenceDataset(make_store(), None, 4)
    item = dataset[3]
    batch = dataset.__getitems__([2, 3])
    assert torch.equal(item.frames[0], batch.frames[1])
    for index in (-1, len(dataset)):
        with pytest.raises(AssertionError):
            dataset[index]


@pytest.mark.parametrize("kind", [ObservationDataset, RolloutDataset])
def test_data_loader_gets_joined_batches(make_store: MakeStore, kind: type) -> None:
    dataset = kind(make_store())
    order = list(batches(len(dataset), 8, seed=0, epoch=0))
    given = list(DataLoader(dataset, batch_sampler=order, collate_fn=identity))
    plain = list(
        DataLoader(
            dataset, batch_size=8, sampler=np.concatenate(order).tolist(), collate_fn=identity
        )
    )
    for one, two, indices in zip(given, plain, order, strict=True):
        expected = dataset.__getitems__(indices)
        frames = [
            batch if kind is ObservationDataset else batch.frames for batch in (one, two, expected)
        ]
        assert torch.equal(frames[0], frames[2]) and torch.equal(frames[1], frames[2])


def test_a_data_set_travels_without_its_data(make_store: MakeStore) -> None:
    dataset = SequenceDataset(make_store(lengths=[50] * 10), None, 4)
    expected = everything(dataset).frames
    sent = pickle.dumps(dataset)
    assert len(sent) < dataset.store.arrays(0).frames.nbytes
    assert torch.equal(everything(pickle.loads(sent)).frames, expected)


def test_to_float_is_exact_and_channels_last() -> None:
    frames = torch.arange(256, dtype=torch.uint8).repeat(3).view(2, 8, 16, 3)
    x = to_float(frames, "cpu")
    assert x.shape == (2, 3, 8, 16) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, frames.permute(0, 3, 1, 2).float() / 255)
    assert torch.equal((x * 255).round().to(torch.uint8), frames.permute(0, 3, 1, 2))


def test_batches_cover_every_item_once() -> None:
    order = list(batches(103, 10, seed=1, epoch=0))
    assert [len(batch) for batch in order] == [10] * 10 + [3]
    assert sorted(np.concatenate(order)) == list(range(103)) != np.concatenate(order).tolist()
    plain = np.concatenate(list(batches(103, 10, seed=1, epoch=0, shuffle=False)))
    assert plain.tolist() == list(range(103))


def test_batches_are_a_pure_function_of_seed_epoch_and_position() -> None:
    whole = list(batches(103, 10, seed=1, epoch=4))
    for start in (0, 3, 10, 11, 20):
        rest = list(batches(103, 10, seed=1, epoch=4, start=start))
        assert len(rest) == max(0, 11 - start)
        assert all(np.array_equal(a, b) for a, b in zip(rest, whole[start:], strict=True))
    for seed, epoch in ((2, 4), (1, 5)):
        assert not np.array_equal(next(batches(103, 10, seed=seed, epoch=epoch)), whole[0])


def test_count_shortens_the_epoch() -> None:
    whole = list(batches(103, 10, seed=1, epoch=0))
    short = list(batches(103, 10, seed=1, epoch=0, count=25))
    assert np.array_equal(np.concatenate(short), np.concatenate(whole)[:25])
    assert len(list(batches(103, 10, seed=1, epoch=0, start=2, count=25))) == 1
    assert list(batches(0, 10, seed=1, epoch=0)) == []


MEMORY_PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np
from world_models.data.datasets import ObservationDataset, SequenceDataset, batches
from world_models.data.store import EpisodeStore

def private():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def read(folder):
    frames = ObservationDataset(EpisodeStore.open(folder))
    windows = SequenceDataset(EpisodeStore.open(folder), None, 8, 8)
    for dataset in (frames, windows):
        for indices in batches(len(dataset), 16, seed=0, epoch=0):
            dataset.__getitems__(indices)
    return private()

read(Path(sys.argv[1]))
print(read(Path(sys.argv[1])), read(Path(sys.argv[2])))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.slow
def test_private_memory_does_not_grow_with_the_data(
    tmp_path: Path, make_episode: Callable, meta: dict[str, object]
) -> None:
    from world_models.data.store import StoreWriter

    for name, shards in (("small", 1), ("large", 4)):
        writer = StoreWriter(tmp_path / name, meta)
        for index in range(shards):
            writer.write_shard(
                index, [make_episode(number, 250, size=64) for number in range(6)], ["train"] * 6
            )
        writer.finish()
    command = [
        sys.executable,
        "-c",
        MEMORY_PROGRAM,
        str(tmp_path / "small"),
        str(tmp_path / "large"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    frames_kb = 4 * 6 * 251 * 64 * 64 * 3 / 1024
    assert large - small < 0.1 * frames_kb, (small, large, frames_kb)
