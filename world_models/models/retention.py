"""Retention over blocks of tokens (Sun et al. 2023), with prediction tokens behind each block.

A sequence comes in T chunks. A chunk is a block of P tokens, which are remembered, and then any
number of prediction tokens, which are not (parallel observation prediction, Cohen et al. 2024).
They stand where the tokens of the next block will, and read all blocks up to their own chunk's. One
chunk as long as the sequence is the parallel form; chunks of one token are the recurrent form.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.models.row_dropout import RowDropout

SLOWEST_TURN = 10000.0
"""Tokens in which the slowest pair of channels turns by one radian."""


def turned(x: Tensor, places: Tensor) -> Tensor:
    """x (..., n, E) with each pair of channels turned by an angle that grows with the place (n,).

    The product of two turned vectors depends on the difference of their places alone (Su et al.
    2021). Angles are at least float32, whatever the precision around.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    pairs = x.shape[-1] // 2
    speeds = SLOWEST_TURN ** -torch.linspace(0, 1, pairs, dtype=wide, device=x.device)
    angles = places.to(wide)[:, None] * speeds
    even, odd = x.to(wide).unflatten(-1, (pairs, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


def chunk_places(chunks: int, length: int, block: int, device: torch.device) -> Tensor:
    """Where the tokens of each chunk stand, (T, n): a chunk begins where the block before ended."""
    first = block * torch.arange(chunks, device=device)
    return first[:, None] + torch.arange(length, device=device)


def decays(heads: int, nearest: float, farthest: float) -> Tensor:
    """What each head keeps of its memory from token to token, (H,).

    It remembers about `nearest` tokens in the first head, `farthest` in the last.
    """
    ends = -math.log(nearest), -math.log(farthest)
    return 1 - torch.linspace(*ends, heads, dtype=torch.float64).exp()


def powers(base: Tensor, exponents: Tensor) -> Tensor:
    """base (H,) to exponents (...) -> (H, ...); negative exponents give 0: what comes later."""
    grown = base.view(-1, *[1] * exponents.ndim) ** exponents.clamp(min=0)
    return torch.where(exponents < 0, 0, grown)


def remembered(k: Tensor, v: Tensor, decay: Tensor, before: Tensor) -> Tensor:
    """The memory before each block, and after the last: (B, H, T+1, E, E).

    k, v (B, H, T, P, E) of the blocks' own tokens, k turned; before (B, H, E, E).
    S_t = decay^P S_{t-1} + sum_j decay^(P-1-j) k_tj^T v_tj, all blocks in one product.
    """
    chunks, block = k.shape[2:4]
    steps = torch.arange(chunks + 1, device=k.device)
    fading = powers(decay, block - 1 - torch.arange(block, device=k.device))
    added = (k * fading[:, None, :, None]).transpose(-1, -2) @ v
    kept = powers(decay, block * (steps[:, None] - 1 - steps[:-1]))
    from_blocks = torch.einsum("hts,bhsde->bhtde", kept, added)
    from_before = powers(decay, block * steps)[:, :, None, None] * before[:, :, None]
    return from_blocks + from_before


def retained(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, memory: Tensor) -> Tensor:
    """What the tokens of each chunk read: of their chunk up to themselves, and of the memory.

    q, k, v (B, H, T, n, E), q and k turned; memory (B, H, T, E, E) from before each chunk.
    o_j = sum_{i<=j} decay^(j-i) (q_j k_i) v_i + decay^(j+1) q_j S.
    """
    place = torch.arange(q.shape[-2], device=q.device)
    near = powers(decay, place[:, None] - place)
    far = powers(decay, place + 1)
    scores = (q @ k.transpose(-1, -2)) * near[:, None]
    return scores @ v + far[:, None, :, None] * (q @ memory)


def retain(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, before: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """Retention of chunks whose first `block` tokens are remembered.

    q, k, v (B, H, T, n, E), not turned; before (B, H, E, E) is told relative to the place of the
    first token. Returns what all tokens read, and the memory after the last block, relative to the
    place after it: so places never grow, and a memory may be carried on for ever.
    """
    chunks, length = q.shape[2:4]
    places = chunk_places(chunks, length, block, q.device)
    q, k = (turned(x.flatten(2, 3), places.flatten()).view(q.shape) for x in (q, k))
    memory = remembered(k[..., :block, :], v[..., :block, :], decay, before)
    back = places.new_full((before.shape[-1],), -chunks * block)
    after = turned(memory[:, :, -1].transpose(-1, -2), back).transpose(-1, -2)
    return retained(q, k, v, decay, memory[:, :, :-1]), after


class Retention(nn.Module):
    """Multi-scale retention (Sun et al. 2023, eq. 8), whose memory the caller carries."""

    decay: Tensor

    def __init__(
        self, width: int, heads: int, dropout: float, nearest: float, farthest: float
    ) -> None:
        """`nearest` and `farthest`: tokens that the first and the last head remember, about."""
        super().__init__()
        self.heads = heads
        self.head_width = head_width(width, heads)
        self.project = projections(width, 4)
        self.out = projections(width, 1)
        self.dropout = RowDropout(dropout)
        self.register_buffer("decay", decays(heads, nearest, farthest), persistent=False)

    def empty(self, rows: int) -> Tensor:
        """The memory (B, H, E, E) of nothing."""
        weight = self.out.weight
        return weight.new_zeros(rows, self.heads, self.head_width, self.head_width)

    def forward(self, x: Tensor, block: int, memory: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, n, D), chunks of which `block` tokens are remembered -> the same, and memory.

        memory (B, H, E, E). `seen` (B,), how many tokens are in it, is the same to retention.
        """
        *qkv, gate = self.project(x).chunk(4, dim=-1)
        q, k, v = (in_heads(part, self.heads) for part in qkv)
        k = k * self.head_width**-0.5
        read, memory = retain(q, k, v, self.decay.to(q.dtype), memory, block)
        read = self.dropout(read.permute(0, 2, 3, 1, 4))
        normed = functional.layer_norm(read, (self.head_width,), eps=1e-6).flatten(-2)
        return self.out(functional.silu(gate) * normed.to(gate.dtype)), memory


def head_width(width: int, heads: int) -> int:
    """Channels of a head; an odd number, which cannot be turned in pairs, is a ValueError."""
    if width % (2 * heads):
        raise ValueError(
            f"a width of {width} cannot be shared by {heads} heads: "
            f"it must be a multiple of {2 * heads}"
        )
    return width // heads


def in_heads(x: Tensor, heads: int) -> Tensor:
    """x (B, T, n, D) -> (B, H, T, n, E), at least float32."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return x.to(wide).unflatten(-1, (heads, -1)).permute(0, 3, 1, 2, 4).contiguous()


def projections(width: int, count: int) -> nn.Linear:
    """`count` square maps side by side, each begun by Xavier's rule (Glorot & Bengio 2010)."""
    linear = nn.Linear(width, count * width)
    for weight in linear.weight.chunk(count):
        nn.init.xavier_normal_(weight)
    nn.init.zeros_(linear.bias)
    return linear
