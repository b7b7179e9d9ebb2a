"""Data sets over an episode store, and the order of their batches.

They give frames, transitions, and windows of frames or latents.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from world_models.data.arrays import Array
from world_models.data.batch import LatentBatch, SequenceBatch, TransitionBatch
from world_models.data.episode import TERMINATED
from world_models.data.gathering import gather, gather_runs
from world_models.data.latents import LatentSource
from world_models.data.store import STORE_COLUMNS, EpisodeStore
from world_models.runs import seeding

Indices = Sequence[int] | npt.NDArray[np.int64]
Batch = TypeVar("Batch")


def batches(
    num_items: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    count: int | None = None,
    shuffle: bool = True,
) -> Iterator[npt.NDArray[np.int64]]:
    """The batches of item indices of one epoch: a function of its arguments alone.

    The last batch may be smaller. `start` skips the batches already done. `count` uses only that
    many items of the (shuffled) order. Four bytes per item.
    """
    order = np.arange(num_items, dtype=np.uint32)
    if shuffle:
        seeding.generator(seed, "batches", epoch).shuffle(order)
    used = order[:count]
    for first in range(start * batch_size, len(used), batch_size):
        yield used[first : first + batch_size].astype(np.int64)


def to_float(frames: Tensor, device: torch.device | str) -> Tensor:
    """Frames (B, H, W, C) uint8 -> (B, C, H, W) float32 in [0, 1] on `device`.

    They are moved as bytes, and lie channels last in memory.
    """
    assert frames.ndim == 4 and frames.dtype == torch.uint8, (frames.shape, frames.dtype)
    return frames.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures (B, C, H, W) in [0, 1] -> frames (B, H, W, C) uint8, rounded: `to_float` back."""
    return (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def identity(batch: Batch) -> Batch:
    """The collate_fn for a torch DataLoader over these data sets.

    Their batches come already joined.
    """
    return batch


class _EpisodeItems(Dataset[Any], Generic[Batch]):
    """Items numbered episode by episode; a table of episodes, not of items, says where one lies."""

    def __init__(self, store: EpisodeStore, split: str | None, fraction: float = 1.0) -> None:
        """`fraction` of the split's episodes are used, the first ones, at least one."""
        rows = store.episodes(split)
        rows = rows[: max(1, round(fraction * len(rows)))]
        self.store = store
        self.rows = rows
        self._shard = np.array([row.shard for row in rows], np.int64)
        self._start = np.array([row.start for row in rows], np.int64)
        self._length = np.array([row.length for row in rows], np.int64)
        self._ends = np.cumsum(self._items_per_episode())

    def _items_per_episode(self) -> npt.NDArray[np.int64]:
        raise NotImplementedError

    def __getitems__(self, indices: Indices) -> Batch:
        raise NotImplementedError

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Batch:
        """One item, as a batch of one."""
        return self.__getitems__([index])

    def _locate(self, indices: Indices) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Item numbers (B,) -> the number of the episode and of the item within it, each (B,)."""
        items = np.asarray(indices, np.int64)
        assert items.min() >= 0 and items.max() < len(self), (items.min(), items.max(), len(self))
        episode = np.searchsorted(self._ends, items, side="right")
        before = np.where(episode > 0, self._ends[episode - 1], 0)
        return episode, items - before

    def _gather(self, column: str, shards: Array, rows: Array) -> Array:
        """Rows of one of the store's four columns."""
        return gather(lambda shard: getattr(self.store.arrays(shard), column), shards, rows)


class ObservationDataset(_EpisodeItems[Tensor]):
    """Single frames: (B, H, W, C) uint8.

    Final frames are left out where the store says that they are not valid.
    """

    def __init__(self, store: EpisodeStore, split: str | None = None) -> None:
        super().__init__(store, split)

    def _items_per_episode(self) -> npt.NDArray[np.int64]:
        return self._length + self.store.has_final_frame

    def __getitems__(self, indices: Indices) -> Tensor:
        episode, offset = self._locate(indices)
        frames = self._gather("frames", self._shard[episode], self._start[episode] + offset)
        return torch.from_numpy(frames)


class RolloutDataset(_EpisodeItems[TransitionBatch]):
    """Single transitions."""

    def __init__(self, store: EpisodeStore, split: str | None = None) -> None:
        super().__init__(store, split)

    def _items_per_episode(self) -> npt.NDArray[np.int64]:
        return self._length

    def __getitems__(self, indices: Indices) -> TransitionBatch:
        episode, offset = self._locate(indices)
        shards = self._shard[episode]
        rows = self._start[episode] + offset
        columns = (self._gather(column, shards, rows) for column in STORE_COLUMNS)
        return TransitionBatch(*map(torch.from_numpy, columns))


@dataclass(frozen=True)
class _Place:
    """Where the windows of a batch lie."""

    # (B,)
    shards: npt.NDArray[np.int64]
    # (B, T+1) rows of the frames, the last valid one repeated
    frames: npt.NDArray[np.int64]
    # (B, T) rows of the transitions, the last one repeated
    steps: npt.NDArray[np.int64]
    # (B, T) inside the episode
    mask: npt.NDArray[np.bool_]
    # (B, T) and the next frame is valid
    next_mask: npt.NDArray[np.bool_]


class Windows(_EpisodeItems[Batch]):
    """Windows of `seq_len` transitions, `stride` apart, each inside one episode.

    The last of an episode may be padded. `stride` is at most `seq_len`: each transition is in one.
    Without valid final frames the frame after an episode's last transition is not given:
    `next_mask` is 0 there. Its reward and its end are given all the same.
    """

    def __init__(
        self,
        store: EpisodeStore,
        split: str | None,
        seq_len: int,
        stride: int,
        fraction: float = 1.0,
    ) -> None:
        assert 1 <= stride <= seq_len, (stride, seq_len)
        self.seq_len = seq_len
        self.stride = stride
        super().__init__(store, split, fraction)

    def _items_per_episode(self) -> npt.NDArray[np.int64]:
        return 1 + -(-np.maximum(self._length - self.seq_len, 0) // self.stride)

    @property
    def windows_per_episode(self) -> npt.NDArray[np.int64]:
        """Number of windows of each episode (E,); items are numbered episode by episode."""
        return np.diff(self._ends, prepend=0)

    @property
    def tiles(self) -> int:
        """Number of windows that cover every transition once."""
        return int((-(-self._length // self.seq_len)).sum())

    def closing(self, items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Items (B,) -> the last windows of their episodes (B,).

        Where an episode did not terminate, it is the item itself.
        """
        episode, _ = self._locate(items)
        return np.where(self._terminates[episode], self._ends[episode] - 1, items)

    @cached_property
    def _terminates(self) -> npt.NDArray[np.bool_]:
        """Whether each episode ended by its rules, (E,)."""
        return self._gather("done", self._shard, self._start + self._length - 1) == TERMINATED

    def _place(self, indices: Indices) -> _Place:
        episode, window = self._locate(indices)
        offset = window[:, None] * self.stride + np.arange(self.seq_len + 1)
        length = self._length[episode][:, None]
        start = self._start[episode][:, None]
        last_frame = length - (not self.store.has_final_frame)
        steps = offset[:, :-1]
        return _Place(
            shards=self._shard[episode],
            frames=start + np.minimum(offset, last_frame),
            steps=start + np.minimum(steps, length - 1),
            mask=steps < length,
            next_mask=steps < last_frame,
        )

    def _steps(self, place: _Place) -> list[Array]:
        """Actions, rewards and done (B, T, ...), those of the last transition where padded."""
        return gather_runs(lambda shard: self.store.maps(shard)[1:], place.shards, place.steps)


class SequenceDataset(Windows[SequenceBatch]):
    """Windows of frames, actions, rewards and done."""

    def __init__(
        self, store: EpisodeStore, split: str | None, seq_len: int, stride: int = 1
    ) -> None:
        super().__init__(store, split, seq_len, stride)

    def __getitems__(self, indices: Indices) -> SequenceBatch:
        place = self._place(indices)
        (frames,) = gather_runs(
            lambda shard: self.store.maps(shard)[:1], place.shards, place.frames
        )
        steps = [unpadded(values, place.mask) for values in self._steps(place)]
        masks = [place.mask.astype(np.float32), place.next_mask.astype(np.float32)]
        return SequenceBatch(*map(torch.from_numpy, [frames, *steps, *masks]))


class LatentSequenceDataset(Windows[LatentBatch]):
    """Windows of latents for M.

    They are of the first episodes of a split: `fraction` of them, at least one. `to_model` turns
    executed actions (N, ...) into model actions (N, A) float32.
    """

    def __init__(
        self,
        store: EpisodeStore,
        latents: LatentSource,
        split: str | None,
        seq_len: int,
        stride: int = 1,
        *,
        to_model: Callable[[Any], Any],
        fraction: float = 1.0,
    ) -> None:
        super().__init__(store, split, seq_len, stride, fraction)
        self.latents = latents
        self.to_model = to_model

    def __getitems__(self, indices: Indices) -> LatentBatch:
        place = self._place(indices)
        latents = (
            part.transpose(0, 1).contiguous()
            for part in self.latents.gather(place.shards, place.frames)
        )
        executed, rewards, done = self._steps(place)
        actions = np.asarray(self.to_model(executed.reshape(-1, *executed.shape[2:])), np.float32)
        steps = [actions.reshape(*place.mask.shape, -1), rewards, done == TERMINATED]
        masked = [unpadded(values, place.mask) for values in steps]
        return LatentBatch(*latents, *map(_time_first, [*masked, place.mask, place.next_mask]))


def unpadded(values: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Values (B, T, ...) that are 0 where mask (B, T) is."""
    inside = mask.reshape(*mask.shape, *[1] * (values.ndim - 2))
    return np.where(inside, values, values.dtype.type(0))


def _time_first(values: Array) -> Tensor:
    """(B, T, ...) -> float32 tensor (T, B, ...)."""
    return torch.from_numpy(np.ascontiguousarray(values.swapaxes(0, 1), np.float32))
