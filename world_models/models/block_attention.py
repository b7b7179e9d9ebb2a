"""Attention over blocks of tokens, with prediction tokens behind each block.

The chunks are those of `models/retention.py`, and so is the signature. What is remembered are the
keys and values of the last tokens.
"""

import torch
from torch import Tensor, nn

from world_models.models.retention import (
    chunk_places,
    head_width,
    in_heads,
    projections,
    turned,
)
from world_models.models.row_dropout import RowDropout


def attend(
    q: Tensor, k: Tensor, v: Tensor, before: Tensor, seen: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """Attention of chunks whose first `block` tokens are remembered.

    q, k, v (B, H, T, n, E), not turned; before (B, H, 2, N, E): keys and values of the N tokens
    before, the newest last, of which the last `seen` (B,) are any. Each token reads these, the
    blocks of earlier chunks, and its own chunk up to itself. Returns what all tokens read, and the
    keys and values of the last N tokens.
    """
    chunks, length, size = q.shape[2:]
    places = chunk_places(chunks, length, block, q.device)
    own = torch.stack([k[..., :block, :], v[..., :block, :]], dim=2).flatten(3, 4)
    past = torch.cat([before, own], dim=3)
    slots = before.shape[3]
    past_places = torch.arange(-slots, chunks * block, device=q.device)
    past_k, past_v = turned(past[:, :, 0], past_places), past[:, :, 1]
    q, k = (turned(x.flatten(2, 3), places.flatten()).view(q.shape) for x in (q, k))
    far = torch.einsum("bhtne,bhme->bhtnm", q, past_k)
    near = q @ k.transpose(-1, -2)
    readable = (past_places < places[:, :1]) & (past_places >= -seen[:, None, None])
    far = far.masked_fill(~readable[:, None, :, None], -torch.inf)
    near = near.masked_fill(places[0] > places[0][:, None], -torch.inf)
    weights = (torch.cat([far, near], dim=-1) * size**-0.5).softmax(-1)
    from_past, from_own = weights.split([far.shape[-1], length], dim=-1)
    read = torch.einsum("bhtnm,bhme->bhtne", from_past, past_v) + from_own @ v
    return read, past[:, :, :, past.shape[3] - slots :]


class BlockAttention(nn.Module):
    """Attention with rotary places, whose keys and values the caller carries."""

    def __init__(self, width: int, heads: int, dropout: float, slots: int) -> None:
        """`slots`: tokens whose keys and values are kept."""
        super().__init__()
        self.heads = heads
        self.head_width = head_width(width, heads)
        self.slots = slots
        self.project = projections(width, 3)
        self.out = projections(width, 1)
        self.dropout = RowDropout(dropout)

    def empty(self, rows: int) -> Tensor:
        """The memory (B, H, 2, N, E) of nothing."""
        weight = self.out.weight
        return weight.new_zeros(rows, self.heads, 2, self.slots, self.head_width)

    def forward(self, x: Tensor, block: int, memory: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, n, D), chunks of which `block` tokens are remembered -> the same, and memory.

        memory (B, H, 2, N, E), of which `seen` (B,) tokens are any.
        """
        parts = self.project(x).chunk(3, dim=-1)
        q, k, v = (in_heads(part, self.heads) for part in parts)
        read, memory = attend(q, k, v, memory, seen, block)
        read = self.dropout(read.permute(0, 2, 3, 1, 4)).flatten(-2)
        return self.out(read.to(x.dtype)), memory
