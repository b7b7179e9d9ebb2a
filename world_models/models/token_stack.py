"""The layers of a token world model: a memory along the tokens, and a network at each."""

from enum import Enum
from typing import cast

import torch
from torch import Tensor, nn

from world_models.models.block_attention import BlockAttention
from world_models.models.retention import Retention
from world_models.models.row_dropout import RowDropout

NORM_EPSILON = 1e-6
WIDENING = 4
"""How much wider the network at each token is inside."""


class Sequence(Enum):
    """How the tokens read those before them."""

    retention = "retention"
    attention = "attention"


class Layer(nn.Module):
    """x + mix(norm x), then x + network(norm x)."""

    def __init__(self, mix: Retention | BlockAttention, width: int, dropout: float) -> None:
        super().__init__()
        self.mix = mix
        self.mix_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.network = nn.Sequential(
            nn.LayerNorm(width, eps=NORM_EPSILON),
            nn.Linear(width, WIDENING * width),
            nn.SiLU(),
            RowDropout(dropout),
            nn.Linear(WIDENING * width, width),
        )
        self.dropout = RowDropout(dropout)

    def forward(self, x: Tensor, block: int, memory: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """See `Retention.forward`."""
        mixed, memory = self.mix(self.mix_norm(x), block, memory, seen)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.network(x)), memory


class TokenStack(nn.Module):
    """Layers over chunks of tokens; see `models/retention.py` for what a chunk is."""

    def __init__(
        self, layers: list[Retention | BlockAttention], width: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(mix, width, dropout) for mix in layers)

    def empty(self, rows: int) -> Tensor:
        """The memory of nothing, (B, L, ...)."""
        layers = cast(list[Layer], list(self.layers))
        return torch.stack([layer.mix.empty(rows) for layer in layers], dim=1)

    def forward(self, x: Tensor, block: int, memory: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, n, D), chunks of which `block` tokens are remembered -> the same, and memory.

        memory (B, L, ...), of which `seen` (B,) tokens are any.
        """
        after = []
        for layer, before in zip(self.layers, memory.unbind(1), strict=True):
            x, kept = layer(x, block, before, seen)
            after.append(kept)
        return x, torch.stack(after, dim=1)
