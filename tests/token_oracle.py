"""What layers over blocks of tokens must compute: one big matrix of scores over all tokens.

Written from the definition alone: every token of every chunk is laid out in one row, and a mask
says which may read which.
"""

import torch
from torch import Tensor
from torch.nn import functional

from world_models.models.block_attention import BlockAttention
from world_models.models.retention import Retention
from world_models.models.token_stack import TokenStack

Mix = Retention | BlockAttention


def oracle(stack: TokenStack, x: Tensor, block: int) -> Tensor:
    """x (B, T, n, D) -> what the stack gives for it, from an empty memory."""
    chunks, length = x.shape[1:3]
    chunk = torch.arange(chunks).repeat_interleave(length)
    place = torch.arange(length).repeat(chunks)
    index = chunk * block + place
    remembered = place < block
    # a remembered token of an earlier chunk, or any of the own chunk that is not later
    readable = (chunk[:, None] > chunk) & remembered
    readable |= (chunk[:, None] == chunk) & (place[:, None] >= place)
    flat = x.flatten(1, 2)
    for layer in stack.layers:
        flat = flat + mixed(layer.mix, layer.mix_norm(flat), index, readable)
        flat = flat + layer.network(flat)
    return flat.view(x.shape)


def mixed(mix: Mix, x: Tensor, index: Tensor, readable: Tensor) -> Tensor:
    """x (B, N, D) at these places of the sequence (N,), each reading what it may (N, N)."""
    parts = [part.unflatten(-1, (mix.heads, -1)) for part in mix.project(x).split(x.shape[-1], -1)]
    q, k = spun(parts[0], index), spun(parts[1], index)
    scores = torch.einsum("bnhe,bmhe->bhnm", q, k) / mix.head_width**0.5
    if isinstance(mix, Retention):
        ages = (index[:, None] - index).clamp(min=0)
        decay = mix.decay.to(x.dtype)
        weights = torch.where(readable, scores * decay[:, None, None] ** ages, 0)
    else:
        weights = torch.where(readable, scores, -torch.inf).softmax(-1)
    read = torch.einsum("bhnm,bmhe->bnhe", weights, parts[2]).flatten(-2)
    if isinstance(mix, Retention):
        normed = functional.group_norm(read.flatten(0, 1), mix.heads, eps=1e-6).view(read.shape)
        read = normed * functional.silu(parts[3].flatten(-2))
    return mix.out(read)


def spun(x: Tensor, index: Tensor) -> Tensor:
    """x (B, N, H, E), pairs of channels as complex numbers, turned by their place."""
    pairs = x.shape[-1] // 2
    speeds = 10000 ** -(torch.arange(pairs, dtype=x.dtype) / max(1, pairs - 1))
    turns = torch.polar(torch.ones(len(index), pairs, dtype=x.dtype), index[:, None] * speeds)
    numbers = torch.view_as_complex(x.unflatten(-1, (pairs, 2)).contiguous())
    return torch.view_as_real(numbers * turns[:, None]).flatten(-2)
