"""What the data sets give: batches as named tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TransitionBatch:
    """Single transitions: what was seen, done, and followed."""

    # (B, H, W, C) uint8
    frames: Tensor
    # (B, A) float32 or (B,) int64, as executed
    actions: Tensor
    # (B,) float32
    rewards: Tensor
    # (B,) uint8: RUNNING, TERMINATED or TRUNCATED
    done: Tensor


@dataclass(frozen=True)
class SequenceBatch:
    """Windows of T transitions.

    Where mask is 0, frames repeat the last valid one, and the rest is 0. Where mask is 1 and
    next_mask is 0, the transition is real but the frame after it is not: it too repeats the last.
    """

    # (B, T+1, H, W, C) uint8
    frames: Tensor
    # (B, T, A) float32 or (B, T) int64, as executed
    actions: Tensor
    # (B, T) float32
    rewards: Tensor
    # (B, T) uint8: RUNNING, TERMINATED or TRUNCATED
    done: Tensor
    # (B, T) float32: 1 inside the episode, 0 for padding
    mask: Tensor
    # (B, T) float32: 1 where the next frame is valid too
    next_mask: Tensor

    def pin_memory(self) -> "SequenceBatch":
        """The same batch in memory from which a GPU copies by itself.

        torch's DataLoader calls this.
        """
        return SequenceBatch(*(value.pin_memory() for value in vars(self).values()))


@dataclass(frozen=True)
class LatentBatch:
    """Windows of T transitions for M, time first.

    (z[t], actions[t]) leads to rewards[t] and terminated[t], and where next_mask is 1 to z[t+1].
    Where mask is 0, latents repeat the last valid one, and the rest is 0.
    """

    # (T+1, B, L) float32
    mu: Tensor
    # (T+1, B, L) float32
    logsigma: Tensor
    # (T, B, A) float32, as the model takes them (one-hot where actions are numbered)
    actions: Tensor
    # (T, B) float32
    rewards: Tensor
    # (T, B) float32: 1 where the episode ended by its rules, 0 where it ran on or was cut off
    terminated: Tensor
    # (T, B) float32: 1 inside the episode, 0 for padding
    mask: Tensor
    # (T, B) float32: 1 where the next latent is valid too
    next_mask: Tensor

    def to(self, device: torch.device | str) -> "LatentBatch":
        """The same batch on `device`."""
        return LatentBatch(*(value.to(device, non_blocking=True) for value in vars(self).values()))

    def columns(self, first: int, last: int) -> "LatentBatch":
        """Windows from `first` up to, but without, `last`; they share memory with this batch."""
        return LatentBatch(*(value[:, first:last] for value in vars(self).values()))


@dataclass(frozen=True)
class TokenBatch:
    """Windows of T transitions for a token world model.

    tokens[:, t] and actions[:, t] lead to rewards[:, t] and terminated[:, t], and where next_mask
    is 1 to tokens[:, t+1]. Where mask is 0, tokens repeat the last valid ones, and the rest is 0.
    """

    # (B, T+1, K) int64
    tokens: Tensor
    # (B, T, A) float32, as the model takes them (one-hot where actions are numbered)
    actions: Tensor
    # (B, T) float32
    rewards: Tensor
    # (B, T) float32: 1 where the episode ended by its rules, 0 where it ran on or was cut off
    terminated: Tensor
    # (B, T) float32: 1 for what is to be learned, 0 for padding and where too little was seen
    mask: Tensor
    # (B, T) float32: 1 where the next frame is valid too
    next_mask: Tensor

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same batch on `device`."""
        return TokenBatch(*(value.to(device, non_blocking=True) for value in vars(self).values()))
