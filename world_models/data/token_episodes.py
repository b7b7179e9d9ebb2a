"""The tokens of whole splits in memory, and windows of them by index arithmetic."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from world_models.data.episode import TERMINATED, TRUNCATED
from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore


class History(NamedTuple):
    """What came before, up to a frame in which something is to be done; padded on the left."""

    # (B, T, gh, gw) int64; the last are those of the frame
    tokens: Tensor
    # (B, T, A) as models read them; what was done in each frame
    actions: Tensor
    # (B, T) bool: the frame is there
    valid: Tensor


class Stretch(NamedTuple):
    """T steps one after the other, with the frame after each; padded on the right."""

    # (B, T+1, gh, gw) int64
    tokens: Tensor
    # (B, T, A) as models read them
    actions: Tensor
    # (B, T)
    rewards: Tensor
    # (B, T) bool: the episode ended by its rules
    ends: Tensor
    # (B, T) bool: it was cut; without final frames one step earlier, where the next is still seen
    cuts: Tensor
    # (B, T) bool: the step is there and, where the episode was cut, the frame after it
    valid: Tensor


@dataclass(frozen=True)
class TokenEpisodes:
    """The rows of some episodes of a store, one after the other; an episode has length + 1."""

    # (N, gh, gw) int16
    tokens: Tensor
    # (N, A) float32 as models read them
    actions: Tensor
    # (N,) float32
    rewards: Tensor
    # (N,) uint8
    done: Tensor
    # (E,) the first row of each episode
    starts: Tensor
    # (E,) transitions
    lengths: Tensor
    has_final_frame: bool

    @classmethod
    def of(
        cls, store: EpisodeStore, tokens: TokenStore, split: str | None, first: int = 0
    ) -> "TokenEpisodes":
        """The episodes of a split, from the `first` of the store on; at least one."""
        rows = [row for row in store.episodes(split) if row.index >= first]
        assert rows, (store.folder, split, first)
        parts = [slice(row.start, row.start + row.length + 1) for row in rows]
        pairs = list(zip(rows, parts, strict=True))
        told = [store.arrays(row.shard) for row in rows]
        actions = [shard.actions[part] for shard, part in zip(told, parts, strict=True)]
        space = store.env.action_space
        joined = [
            np.concatenate([tokens.arrays(row.shard)[part] for row, part in pairs]),
            np.concatenate([space.to_model(_padded(each, space.start)) for each in actions]),
            np.concatenate([one.rewards[part] for one, part in zip(told, parts, strict=True)]),
            np.concatenate([one.done[part] for one, part in zip(told, parts, strict=True)]),
        ]
        lengths = torch.tensor([row.length for row in rows])
        starts = (lengths + 1).cumsum(0) - (lengths + 1)
        found, acted, rewards, done = map(torch.from_numpy, joined)
        return cls(found, acted, rewards, done, starts, lengths, store.has_final_frame)

    @property
    def num_steps(self) -> int:
        """Transitions of all episodes."""
        return int(self.lengths.sum())

    def places(self) -> Tensor:
        """Rows (n,) in which something was done."""
        return torch.nonzero(self._offsets < self._lengths_of_rows).flatten()

    def tiles(self, steps: int) -> Tensor:
        """Rows (n,) of every `steps`-th step of each episode, from its first on."""
        inside = self._offsets < self._lengths_of_rows
        return torch.nonzero(inside & (self._offsets % steps == 0)).flatten()

    def history(self, rows: Tensor, steps: int) -> History:
        """The `steps` frames up to those of the rows (B,), with them."""
        back = torch.arange(1 - steps, 1)
        valid = self._offsets[rows][:, None] + back >= 0
        taken = (rows[:, None] + back).clamp(min=0)
        taken = torch.where(valid, taken, rows[:, None])
        actions = self.actions[taken] * valid[..., None]
        return History(self.tokens[taken].long(), actions, valid)

    def stretch(self, rows: Tensor, steps: int) -> Stretch:
        """The `steps` steps from the rows (B,) on, and the frame after the last."""
        left = (self._lengths_of_rows - self._offsets)[rows][:, None]
        ahead = torch.arange(steps)
        valid = ahead < left
        taken = rows[:, None] + torch.minimum(torch.arange(steps + 1), left)
        acted = taken[:, :-1]
        done = torch.where(valid, self.done[acted], 0)
        cuts = done == TRUNCATED
        if not self.has_final_frame:
            # the frame after the last step was not seen: it is the one before that was cut
            valid = valid & ~cuts
            cuts = functional.pad(cuts[:, 1:], (0, 1))
        return Stretch(
            tokens=self.tokens[taken].long(),
            actions=self.actions[acted] * valid[..., None],
            rewards=torch.where(valid, self.rewards[acted], 0.0),
            ends=done == TERMINATED,
            cuts=cuts,
            valid=valid,
        )

    @cached_property
    def _offsets(self) -> Tensor:
        """Of each row the number within its episode, (N,)."""
        rows = torch.arange(len(self.rewards))
        return rows - torch.repeat_interleave(self.starts, self.lengths + 1)

    @cached_property
    def _lengths_of_rows(self) -> Tensor:
        """The length of each row's episode, (N,)."""
        return torch.repeat_interleave(self.lengths, self.lengths + 1)


def _padded(actions: np.ndarray, start: int) -> np.ndarray:
    """Actions of an episode, its last row one that is in the space: nothing was done there."""
    last = np.full_like(actions[-1:], start if actions.ndim == 1 else 0)
    return np.concatenate([actions[:-1], last])
