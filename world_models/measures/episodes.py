"""Episodes as M meets them: latents, actions, rewards and ends, played from the first frame."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data.episode import TERMINATED
from world_models.data.gathering import gather
from world_models.data.latents import LatentSource
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.models.mdrnn import Hidden, MDRNNCell, Prediction
from world_models.runs import seeding
from world_models.runs.progress import ProgressBar
from world_models.worlds.memory import Memory

PLAYED_SIDE_BY_SIDE = 16
"""Episodes that M plays at once.

Missing rows are filled, so that results never depend on how many there are.
"""
FRAMES_AT_ONCE = 64
"""Frames that are read at once where all are read."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LatentEpisode:
    """T transitions between F frames: T+1, or T in a store whose final frames are not valid."""

    row: EpisodeRow
    # (F, L)
    mu: Floats
    # (F, L)
    logsigma: Floats
    # (T, A), as the model takes them
    actions: Floats
    # (T,)
    rewards: Floats
    # (T,) True where the episode ended by its rules
    terminated: npt.NDArray[np.bool_]

    @property
    def pairs(self) -> int:
        """Transitions whose next latent is valid: T or T-1."""
        return len(self.mu) - 1

    def sample(self, seed: int) -> Floats:
        """Latents (F, L) drawn from V's posterior.

        The draw is a function of the seed and the episode's number.
        """
        draw = seeding.generator(seed, "mdrnn", "posterior", self.row.index)
        return self.mu + np.exp(self.logsigma) * draw.standard_normal(self.mu.shape, np.float32)


@dataclass(frozen=True)
class LatentEpisodes:
    """The episodes of a store beside their latents.

    `to_model` turns executed actions (T, ...) into model actions (T, A).
    """

    store: EpisodeStore
    latents: LatentSource
    to_model: Callable[[Any], Any]

    def frames(self, row: EpisodeRow) -> int:
        """Number of valid frames of an episode."""
        return row.length + self.store.has_final_frame

    def pictures(self, row: EpisodeRow) -> Iterator[Tensor]:
        """An episode's valid frames, in batches (B, H, W, C) uint8."""
        frames = self.store.arrays(row.shard).frames[row.start : row.start + self.frames(row)]
        return (
            torch.from_numpy(frames[first : first + FRAMES_AT_ONCE].copy())
            for first in range(0, len(frames), FRAMES_AT_ONCE)
        )

    def posterior(self, row: EpisodeRow, stop: int) -> tuple[Floats, Floats]:
        """mu and logsigma (stop, L) of an episode's first frames."""
        rows = row.start + np.arange(stop)
        mu, logsigma = self.latents.gather(np.array([row.shard]), rows[None])
        return mu[0].cpu().numpy(), logsigma[0].cpu().numpy()

    def actions(self, row: EpisodeRow, start: int, stop: int) -> Floats:
        """Model actions (stop - start, A)."""
        executed = self.store.arrays(row.shard).actions[row.start + start : row.start + stop]
        return np.asarray(self.to_model(executed), np.float32)

    def load(self, row: EpisodeRow) -> LatentEpisode:
        """One episode."""
        played = self.store.episode(row)
        rewards = played.rewards[: row.length]
        ended = played.done[: row.length] == TERMINATED
        latents = self.posterior(row, self.frames(row))
        return LatentEpisode(row, *latents, self.actions(row, 0, row.length), rewards, ended)

    def at(self, rows: list[EpisodeRow], steps: list[int]) -> tuple[Tensor, Tensor]:
        """Single frames, one of each of N episodes.

        V's mu (N, L) and the pictures (N, H, W, C) uint8.
        """
        shards = np.array([row.shard for row in rows])
        places = np.array([row.start for row in rows]) + steps
        frames = gather(lambda shard: self.store.arrays(shard).frames, shards, places)
        return self.latents.gather(shards, places[:, None])[0][:, 0], torch.from_numpy(frames)


def batches_by_length(rows: list[EpisodeRow]) -> Iterator[list[EpisodeRow]]:
    """At most PLAYED_SIDE_BY_SIDE episodes at a time, of similar length, the longest first."""
    ordered = sorted(rows, key=lambda row: -row.length)
    return (
        ordered[first : first + PLAYED_SIDE_BY_SIDE]
        for first in range(0, len(ordered), PLAYED_SIDE_BY_SIDE)
    )


def with_progress(label: str, rows: list[EpisodeRow]) -> Iterator[list[EpisodeRow]]:
    """As `batches_by_length`, in a progress bar that counts episodes, and steps for its rate."""
    with ProgressBar(label, len(rows)) as bar:
        for group in batches_by_length(rows):
            yield group
            bar.advance(len(group), sum(row.length for row in group))


@torch.inference_mode()
def play(
    cell: MDRNNCell, latents: list[Floats], actions: list[Floats]
) -> Iterator[tuple[Hidden, Prediction]]:
    """Play up to PLAYED_SIDE_BY_SIDE episodes from zero states, the state carried as in acting.

    latents: (F, L) each, actions: (T, A) each, F >= T. Each of the max T steps gives the state
    (h, c) before it, each (B, H), and what M predicts: mus, sigmas, logpi, reward, done, each
    (B, ...). B is PLAYED_SIDE_BY_SIDE. Rows past an episode's end mean nothing.
    """
    memory = Memory(cell)
    steps = max(map(len, actions))
    device = cell.gmm_linear.weight.device
    seen, done = (pad_to_batch(arrays, steps).to(device) for arrays in (latents, actions))
    for before, (h, _) in memory.follow(seen, done):
        yield (before.h, before.c), memory.foresee(h)


def pad_to_batch(arrays: list[Floats], steps: int) -> Tensor:
    """Arrays (N, D) of different N -> (steps, PLAYED_SIDE_BY_SIDE, D): cut or filled with zeros."""
    joined = np.zeros((steps, PLAYED_SIDE_BY_SIDE, arrays[0].shape[1]), np.float32)
    for column, array in enumerate(arrays):
        joined[: len(array), column] = array[:steps]
    return torch.from_numpy(joined)
