"""Where a model's randomness comes from: one stream for a whole batch, or each row's own seed."""

from typing import Protocol

import torch
from torch import Tensor

SPLITMIX_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
"""SplitMix64's step from one number to the next, as a signed integer."""
SPLITMIX_MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
"""The factors of SplitMix64's mixing, as signed integers."""
RANDOM_BITS = 23
"""Random bits of a number in (0, 1): the odd multiples of 2**-24, which float32 holds exactly."""


class Draws(Protocol):
    """The noise of one step. Every call gives new numbers, one for each number of `like`."""

    def exponential(self, like: Tensor) -> Tensor:
        """Exponential noise of rate 1, in the shape, type and place of `like` (B, ...)."""

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal noise, in the shape, type and place of `like` (B, ...)."""


class StreamDraws:
    """Numbers in the order in which a batch asks for them, all from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def exponential(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        noise = torch.empty(like.shape, dtype=like.dtype, device=like.device)
        return noise.exponential_(generator=self.generator)

    def normal(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return torch.randn(
            like.shape, generator=self.generator, dtype=like.dtype, device=like.device
        )


class RowDraws:
    """Row i's numbers are a function of its own seed and step, whatever rows stand beside it.

    SplitMix64 (Steele, Lea & Flood 2014) numbers the noise of a step, so nothing is carried on:
    rows may be dropped, reordered, or played again.
    """

    def __init__(self, seeds: Tensor, steps: Tensor) -> None:
        """`seeds` and `steps`, int64 (B,): of which episode each row is, and where it stands."""
        assert seeds.dtype == steps.dtype == torch.int64, (seeds.dtype, steps.dtype)
        self._key = _mixed(_mixed(seeds) + steps)
        self._used = 0

    def exponential(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return -self._uniform(like).log()

    def normal(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return torch.erfinv(2 * self._uniform(like) - 1) * 2**0.5

    def _uniform(self, like: Tensor) -> Tensor:
        """Numbers inside (0, 1)."""
        assert len(like) == len(self._key), (tuple(like.shape), len(self._key))
        count = like[0].numel()
        numbers = self._used + 1 + torch.arange(count, device=like.device)
        self._used += count
        bits = _shifted(_mixed(self._key[:, None] + numbers * SPLITMIX_INCREMENT), 64 - RANDOM_BITS)
        return ((2 * bits + 1) * 2.0 ** -(RANDOM_BITS + 1)).to(like.dtype).view(like.shape)


def _mixed(x: Tensor) -> Tensor:
    """SplitMix64's mixing of int64 numbers; products wrap."""
    x = (x ^ _shifted(x, 30)) * SPLITMIX_MULTIPLIERS[0]
    x = (x ^ _shifted(x, 27)) * SPLITMIX_MULTIPLIERS[1]
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in."""
    return (x >> places) & ((1 << (64 - places)) - 1)
