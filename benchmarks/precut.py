"""Pre-cut windows read sample by sample: the plain design of public next-frame code, written from
its description.

Every stride-1 window of an episode is stored whole, one frame as often as there are windows over
it; a sample is one row of a memory-mapped file, turned to float32 by itself, and torch's DataLoader
puts the samples together.
"""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from world_models.data.store import EpisodeStore


def write_windows(store: EpisodeStore, folder: Path, length: int, per_shard: int = 5000) -> int:
    """Write shard_*_{frames,actions}.npy of the training windows; returns the frames' bytes."""
    folder.mkdir(parents=True)
    frames, actions, total = [], [], 0
    cut = [
        (row, first) for row in store.episodes("train") for first in range(row.length + 1 - length)
    ]
    for number, (row, first) in enumerate(cut, start=1):
        episode = store.episode(row)
        frames.append(np.array(episode.frames[first : first + length]))
        actions.append(np.array(episode.actions[first : first + length]))
        if len(frames) == per_shard or number == len(cut):
            name = folder / f"shard_{number:08d}"
            np.save(f"{name}_frames.npy", np.stack(frames))
            np.save(f"{name}_actions.npy", np.stack(actions))
            total += sum(window.nbytes for window in frames)
            frames, actions = [], []
    return total


class PrecutWindows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """One window: frames (T, C, H, W) float32 in [0, 1], actions (T, ...)."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("*_frames.npy"))
        self.frames = [np.load(path, mmap_mode="r") for path in paths]
        self.actions = [
            np.load(str(path).replace("_frames", "_actions"), mmap_mode="r") for path in paths
        ]
        self.ends = np.cumsum([len(shard) for shard in self.frames])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        shard = int(np.searchsorted(self.ends, index, side="right"))
        row = index - (self.ends[shard - 1] if shard else 0)
        window = self.frames[shard][row].astype(np.float32) * (1 / 255)
        return torch.from_numpy(window.transpose(0, 3, 1, 2).copy()), torch.tensor(
            np.array(self.actions[shard][row])
        )
