"""Whole windows of stored frames and actions, always the same ones.

Pixel models are judged on them, and dream on from them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import SequenceDataset, Windows
from world_models.data.view import View
from world_models.envs.actions import ActionSpace
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import ProgressBar

WINDOWS_AT_ONCE = 32
"""Windows that are loaded and rolled on side by side."""


@dataclass(frozen=True)
class Window:
    """Windows of k context frames and T frames that follow: all frames in [0, 1]."""

    # (B, k, C, H, W) float32
    context: Tensor
    # (B, k-1+T, A) float32, as a model takes them; the last that leads to a frame is the last
    actions: Tensor
    # (B, T, C, H, W) float32
    future: Tensor


class PixelWindows:
    """Up to `count` windows of a split, each whole inside an episode; always the same.

    They are evenly spread over the split's episodes; with `opening`, they are the first windows of
    these, one each. `levels` (n,) says which of them are of one world: of one level where the
    environment has levels, elsewhere of one episode.
    """

    def __init__(
        self,
        data: SequenceDataset,
        context: int,
        count: int,
        space: ActionSpace,
        view: View,
        *,
        opening: bool = False,
    ) -> None:
        """`data` has windows of context - 1 + horizon steps.

        ValueError where there is not one whole window.
        """
        self.data = data
        self.context = context
        self.horizon = data.seq_len - context + 1
        self.space = space
        self.view = view
        keys = "the horizon (stage.val_rollout_horizon, or stage.horizon of stage=evaluate)"
        self.items, episodes = whole_windows(data, count, opening=opening, lower=keys)
        self.levels = episodes
        env = data.store.env
        if env.has_levels:
            seeds = [data.rows[episode].seed for episode in episodes]
            self.levels = np.array([env.level_of(seed) for seed in seeds])

    def __len__(self) -> int:
        return len(self.items)

    def load(self, chosen: np.ndarray, device: str) -> Window:
        """The windows of these numbers."""
        batch = self.data.__getitems__(self.items[chosen])
        assert bool(batch.next_mask.all()), "a window is whole"
        frames = self.view(batch.frames, device)
        return Window(
            frames[:, : self.context],
            model_actions(self.space, batch.actions, device),
            frames[:, self.context :],
        )

    @cached_property
    def by_change(self) -> np.ndarray:
        """Numbers of all windows (n,), the one whose picture changes least first.

        The change is measured by the error of copying the last context frame.
        """
        changes = [
            (window.future - window.context[:, -1:]).square().flatten(1).mean(1) for window in self
        ]
        return torch.cat(changes).argsort(stable=True).numpy()

    def __iter__(self) -> Iterator[Window]:
        """All windows, some at a time, on the CPU."""
        with ProgressBar("go through windows", len(self), rate_unit="windows") as bar:
            for start in range(0, len(self), WINDOWS_AT_ONCE):
                numbers = np.arange(start, min(start + WINDOWS_AT_ONCE, len(self)))
                yield self.load(numbers, "cpu")
                bar.advance(len(numbers))


def model_actions(space: ActionSpace, actions: Tensor, device: str) -> Tensor:
    """Executed actions (B, T, ...) -> what a model reads (B, T, A) float32.

    Padding reads as some action of the space.
    """
    executed = actions.flatten(0, 1).numpy()
    if space.kind == "discrete":
        executed = executed.clip(space.start, space.start + space.size - 1)
    flat = np.asarray(space.to_model(executed), np.float32)
    return torch.from_numpy(flat).view(*actions.shape[:2], -1).to(device)


def whole_windows(
    data: Windows[Any], count: int, *, lower: str, opening: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` windows that lie whole inside an episode: items (n,), their episodes (n,).

    With `opening` only the first of an episode. Where there is none it is a ValueError that says
    what to `lower`.
    """
    final = data.store.has_final_frame
    whole = [max(0, row.length + final - data.seq_len) for row in data.rows]
    if not sum(whole):
        raise ValueError(
            f"no episode of {data.store.folder} that is to be judged has {data.seq_len + 1} "
            f"frames: lower {lower} or collect longer episodes"
        )
    first = data.windows_per_episode.cumsum() - data.windows_per_episode
    most = 1 if opening else max(whole)
    return spread(np.minimum(whole, most), first, count)


def spread(whole: np.ndarray, first: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows to take: items (n,) and their episodes (n,).

    Episode e has whole[e] windows, from item first[e] on. As many are taken of each episode as of
    any other, as far as it has them; within an episode they are evenly spaced.
    """
    count = min(count, int(whole.sum()))
    share = np.zeros_like(whole)
    while share.sum() < count:
        open_ones = np.flatnonzero(share < whole)
        left = count - share.sum()
        given = open_ones[evenly_spaced(len(open_ones), min(left, len(open_ones)))]
        share[given] += 1
    items = []
    episodes = []
    for episode in np.flatnonzero(share):
        places = (np.arange(share[episode]) + 0.5) * whole[episode] / share[episode]
        items.append(first[episode] + places.astype(np.int64))
        episodes.append(np.full(share[episode], episode))
    return np.concatenate(items), np.concatenate(episodes)
