"""Finite scalar quantisation: codes are the points of a fixed grid (Mentzer et al. 2024)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from world_models.models.tokenizers.convolutional import (
    ConvTokenizer,
    Quantised,
    Quantiser,
    none_lost,
    passed_through,
)
from world_models.models.tokenizers.tokenizer import require_vocabulary

LEAST_LEVELS = 3
"""With fewer there is no room between the ends of tanh."""
SHRINK = 1e-3
"""By how much the outermost levels are kept from the ends of tanh, which it never reaches."""


class ScalarQuantiser(Quantiser):
    """Each of a few numbers is bounded by tanh and rounded to one of its `levels`.

    Level k of L lies at (k - L // 2) / (L // 2). Token numbers count the first number fastest.
    Nothing is learned here, and no code can die.
    """

    levels: Tensor
    strides: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < LEAST_LEVELS:
            raise ValueError(
                f"stage.levels is {list(levels)}; give one number or more, each {LEAST_LEVELS} or "
                "more"
            )
        require_vocabulary(math.prod(levels), "stage.levels")
        self.vocabulary, self.code_size = math.prod(levels), len(levels)
        counts = torch.tensor(levels)
        strides = torch.cat([torch.ones(1, dtype=torch.long), counts[:-1].cumprod(0)])
        self.register_buffer("levels", counts, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    @property
    def table(self) -> Tensor:
        """See Quantiser."""
        tokens = torch.arange(self.vocabulary, device=self.levels.device)
        steps = tokens[:, None] // self.strides % self.levels
        return (steps - self.levels // 2) / (self.levels // 2)

    def bounded(self, z: Tensor) -> Tensor:
        """z (..., D) -> numbers that round to -(L // 2), ..., (L - 1) // 2 (paper, appendix A.1).

        Where L is even they are shifted by a half, so that 0 stays 0.
        """
        half = (self.levels - 1) * (1 - SHRINK) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return torch.tanh(z + torch.atanh(offset / half)) * half - offset

    def nearest(self, z: Tensor) -> Tensor:
        """z (B, D, gh, gw) -> tokens (B, gh, gw) int64."""
        return self._tokens(self.bounded(z.movedim(1, -1)).round())

    def _tokens(self, rounded: Tensor) -> Tensor:
        return ((rounded.long() + self.levels // 2) * self.strides).sum(-1)

    def forward(self, z: Tensor) -> Quantised:
        """See Quantiser: rounding passes gradients on."""
        bounded = self.bounded(z.movedim(1, -1))
        rounded = bounded.detach().round()
        code = passed_through(bounded, rounded) / (self.levels // 2)
        return Quantised(code.movedim(-1, 1), self._tokens(rounded), none_lost(z))


class FSQTokenizer(ConvTokenizer):
    """A convolutional autoencoder around a finite scalar quantiser."""

    def __init__(
        self,
        img_channels: int,
        size: int,
        levels: list[int],
        base_channels: int = 32,
        downsamplings: int = 3,
    ) -> None:
        super().__init__(img_channels, size, base_channels, downsamplings, ScalarQuantiser(levels))
        self.config = {
            "img_channels": img_channels,
            "size": size,
            "levels": list(levels),
            "base_channels": base_channels,
            "downsamplings": downsamplings,
        }
