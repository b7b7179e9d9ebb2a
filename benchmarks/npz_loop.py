"""The data path of the public V-M-C systems, written anew from its description, to compare with.

One .npz file per episode, opened lazily: every access to a member reads that whole member, and
decompresses it where the file is compressed (the original's are, TorchWM's are not). One sample per
`__getitem__`, turned to float on the CPU, joined by torch's DataLoader without workers. M has two
ways: windows of frames that V encodes in every step, or all latents loaded into memory beforehand
and cut every `seq_len` steps, whatever episode they belong to.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from world_models.data.batch import LatentBatch
from world_models.data.episode import TERMINATED
from world_models.data.latents import LatentStore
from world_models.data.store import EpisodeStore


def write_npz(store: EpisodeStore, folder: Path, save: Callable[..., None]) -> Path:
    """Every episode as a file of its own, through np.savez or np.savez_compressed."""
    folder.mkdir()
    for row in store.rows:
        episode = store.episode(row)
        names = {
            "observations": episode.frames,
            "actions": episode.actions,
            "rewards": episode.rewards,
        }
        save(
            folder / f"{row.index:05d}.npz",
            **names,
            terminals=(episode.done == TERMINATED).astype(np.float32),
        )
    return folder


class NpzFrames(Dataset[Any]):
    """Single frames (C, H, W) float32 in [0, 1]."""

    def __init__(self, folder: Path, items: list[int]) -> None:
        """`items` says how many each episode has."""
        self.files = [np.load(path) for path in sorted(folder.glob("*.npz"))]
        self.ends = np.cumsum(items)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def locate(self, index: int) -> tuple[Any, int]:
        """The file in which an item lies, and its place in there."""
        episode = int(np.searchsorted(self.ends, index, side="right"))
        return self.files[episode], index - int(self.ends[episode - 1] if episode else 0)

    def __getitem__(self, index: int) -> Any:
        file, row = self.locate(index)
        return to_picture(file["observations"][row])


class NpzWindows(NpzFrames):
    """Windows of `seq_len` + 1 frames (T+1, C, H, W), and `seq_len` actions, rewards and ends."""

    def __init__(self, folder: Path, lengths: list[int], seq_len: int) -> None:
        super().__init__(folder, [max(0, length + 1 - seq_len) for length in lengths])
        self.seq_len = seq_len

    def __getitem__(self, index: int) -> Any:
        file, start = self.locate(index)
        frames = file["observations"][start : start + self.seq_len + 1]
        columns = (
            file[name][start : start + self.seq_len] for name in ("actions", "rewards", "terminals")
        )
        return torch.stack([to_picture(frame) for frame in frames]), *map(torch.from_numpy, columns)


class LoadedLatents(Dataset[Any]):
    """Windows of mu, logsigma, actions, rewards and ends, from tensors that hold all of them."""

    def __init__(self, store: EpisodeStore, latents: LatentStore, seq_len: int) -> None:
        self.seq_len = seq_len
        columns: list[list[np.ndarray]] = []
        for shard in store.shards():
            arrays = store.arrays(shard)
            mu, logsigma = latents.arrays(shard)
            columns.append(
                [
                    mu,
                    logsigma,
                    arrays.actions,
                    arrays.rewards,
                    (arrays.done == TERMINATED).astype(np.float32),
                ]
            )
        self.columns = [
            torch.from_numpy(np.concatenate(parts)) for parts in zip(*columns, strict=True)
        ]

    def __len__(self) -> int:
        return (len(self.columns[0]) - 1) // self.seq_len

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        first = index * self.seq_len
        mu, logsigma, *steps = self.columns
        frames = slice(first, first + self.seq_len + 1)
        return (
            mu[frames],
            logsigma[frames],
            *(column[first : first + self.seq_len] for column in steps),
        )


def to_picture(frame: np.ndarray) -> Tensor:
    """frame (H, W, C) uint8 -> (C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(frame).permute(2, 0, 1).float() / 255


def latent_batch(columns: Any) -> LatentBatch:
    """Joined samples (B, T, ...) of mu, logsigma, actions, rewards and ends as M takes them:
    time first, nothing padded.
    """
    mu, logsigma, actions, rewards, ends = (column.transpose(0, 1) for column in columns)
    whole = torch.ones_like(rewards)
    return LatentBatch(mu, logsigma, actions, rewards, ends, whole, whole)
