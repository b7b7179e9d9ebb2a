"""Random windows of 16 frames (64x64x3 bytes) per second: from our store, from HDF5, from Lance.

Everybody reads the same windows, from files that lie in the page cache, into one new array per
call; contents are compared first. HDF5 is read by h5py: in HumbleRL's layout (lzf, chunks of 128
frames), in chunks of 16 frames not compressed (a data set that can grow must have chunks), and as
one plain array, its fastest layout for this, which cannot grow. Lance is read by `take` from a
column of fixed-size bytes, the fastest column type for this. The ceiling is torch's copy, in all
threads, of as many bytes that lie side by side in memory.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.table import Rates
from world_models.data.datasets import SequenceDataset
from world_models.data.gathering import gather_runs
from world_models.data.store import EpisodeStore

LENGTH = 16
WINDOWS = 2048
CEILING = "ceiling: as many bytes copied within memory"
SECONDS = 0.5  # that one measurement takes at least


@dataclass(frozen=True)
class Call:
    """The windows of one call, by their number and by where they lie, each (B,)."""

    items: np.ndarray  # of a SequenceDataset over all episodes
    shards: np.ndarray
    rows: np.ndarray  # the first of a window, in its shard
    places: np.ndarray  # the first of a window, all shards joined


Read = Callable[[Call], np.ndarray]


def draw_calls(store: EpisodeStore, per_call: int) -> list[Call]:
    """WINDOWS windows, uniform over all that there are."""
    windows = SequenceDataset(store, None, LENGTH - 1).windows_per_episode
    items = np.random.default_rng(0).integers(windows.sum(), size=WINDOWS)
    episode = np.searchsorted(np.cumsum(windows), items, side="right")
    shards, starts = np.array([(row.shard, row.start) for row in store.rows]).T
    rows = starts[episode] + items - (np.cumsum(windows) - windows)[episode]
    before = np.cumsum([0, *(len(store.arrays(shard).frames) for shard in store.shards())])
    columns = (items, shards[episode], rows, before[shards[episode]] + rows)
    return [
        Call(*(column[first : first + per_call] for column in columns))
        for first in range(0, WINDOWS, per_call)
    ]


def readers(store: EpisodeStore, folder: Path) -> dict[str, Read]:
    """Everybody who is installed; the files of the others are written first."""
    try:
        import h5py
        import lance
        import pyarrow
    except ImportError as error:
        print(
            f"HDF5 and Lance are left out ({error}): pip install 'world-models[bench]' brings "
            f"them\n"
        )
        return {**ours(store), **ceiling(store)}
    others = {**hdf5(h5py, store, folder), **lance_take(lance, pyarrow, store, folder)}
    return {**ours(store), **ceiling(store), **others}


def ours(store: EpisodeStore) -> dict[str, Read]:
    """The frames alone, and whole batches of a SequenceDataset."""
    data = SequenceDataset(store, None, LENGTH - 1)

    def frames(call: Call) -> np.ndarray:
        rows = call.rows[:, None] + np.arange(LENGTH)
        return gather_runs(lambda shard: (store.arrays(shard).frames,), call.shards, rows)[0]

    def sequences(call: Call) -> np.ndarray:
        return data.__getitems__(call.items).frames.numpy()

    return {
        "our store, frames": frames,
        "our store, SequenceDataset (frames, actions, rewards, done, masks)": sequences,
    }


def ceiling(store: EpisodeStore) -> dict[str, Read]:
    """The memory itself. What it gives is not the windows asked for, but as many bytes."""
    joined = torch.from_numpy(
        np.concatenate([store.arrays(shard).frames for shard in store.shards()])
    )
    starts = cycle(range(0, len(joined) - 32 * LENGTH, 32 * LENGTH))

    def read(call: Call) -> np.ndarray:
        first, count = next(starts), len(call.places) * LENGTH
        return joined[first : first + count].clone().numpy().reshape(-1, LENGTH, *joined.shape[1:])

    return {CEILING: read}


def hdf5(h5py: Any, store: EpisodeStore, folder: Path) -> dict[str, Read]:
    """Each layout as a reader of slices."""
    frame = store.arrays(0).frames.shape[1:]
    shape = (sum(len(store.arrays(shard).frames) for shard in store.shards()), *frame)
    chunked = {"chunks": (LENGTH, *frame), "maxshape": (None, *frame)}
    humblerl = {"chunks": (128, *frame), "maxshape": (None, *frame), "compression": "lzf"}
    found: dict[str, Read] = {}
    layouts = {
        "HDF5, one plain array": {},
        "HDF5, chunks of 16": chunked,
        "HDF5 as HumbleRL, lzf, chunks of 128": humblerl,
    }
    for name, layout in layouts.items():
        path = folder / f"{len(found)}.h5"
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("states", shape, np.uint8, **layout)
            place = 0
            for shard in store.shards():
                frames = store.arrays(shard).frames
                dataset[place : place + len(frames)] = frames
                place += len(frames)
        found[name] = _hdf5_reader(h5py.File(path, "r")["states"])
    return found


def _hdf5_reader(dataset: Any) -> Read:
    def read(call: Call) -> np.ndarray:
        out = np.empty((len(call.places), LENGTH, *dataset.shape[1:]), np.uint8)
        for item, place in enumerate(call.places.tolist()):
            out[item] = dataset[place : place + LENGTH]  # two to three times as fast as read_direct
        return out

    return read


def lance_take(lance: Any, pyarrow: Any, store: EpisodeStore, folder: Path) -> dict[str, Read]:
    """All rows of a call in one `take`."""
    frame = store.arrays(0).frames.shape[1:]
    size = int(np.prod(frame))
    schema = pyarrow.schema([("frame", pyarrow.binary(size))])

    def batches() -> Iterator[Any]:
        for shard in store.shards():
            frames = store.arrays(shard).frames
            for first in range(0, len(frames), 1000):
                part = frames[first : first + 1000]
                buffers = [None, pyarrow.py_buffer(part.tobytes())]
                column = pyarrow.FixedSizeBinaryArray.from_buffers(
                    schema.field(0).type, len(part), buffers
                )
                yield pyarrow.record_batch([column], schema=schema)

    dataset = lance.write_dataset(
        batches(), str(folder / "frames.lance"), schema=schema, data_storage_version="2.1"
    )

    def read(call: Call) -> np.ndarray:
        rows = (call.places[:, None] + np.arange(LENGTH)).ravel()
        column = dataset.take(rows.tolist(), columns=["frame"]).column("frame").combine_chunks()
        content = np.frombuffer(
            column.buffers()[1], np.uint8, len(column) * size, column.offset * size
        )
        return content.reshape(len(call.places), LENGTH, *frame)

    return {"Lance, take": read}


def windows_per_second(read: Read, calls: list[Call]) -> float:
    """Over at least SECONDS."""
    began, done = time.perf_counter(), 0
    for call in cycle(calls):
        read(call)
        done += len(call.items)
        seconds = time.perf_counter() - began
        if seconds >= SECONDS:
            return done / seconds
    raise AssertionError("no calls")


def measure(store: EpisodeStore, folder: Path, per_call: int, rounds: int) -> Rates:
    """Windows per second of everybody, so many windows per call, in turns."""
    folder.mkdir()
    everybody, calls = readers(store, folder), draw_calls(store, per_call)
    truth = everybody["our store, frames"]
    for name, read in everybody.items():
        same = name == CEILING or all(np.array_equal(read(call), truth(call)) for call in calls[:4])
        assert same, f"{name} reads something else"
        windows_per_second(read, calls)
    rates: Rates = {name: [] for name in everybody}
    for _ in range(rounds):
        for name, read in everybody.items():
            rates[name].append(windows_per_second(read, calls))
    return rates
