"""Retention: its three forms are one, places may be shifted, and blocks hide what they must."""

import pytest
import torch
from torch import Tensor

from world_models.models.retention import Retention, decays, retain, turned

B, H, E = 2, 3, 8
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
DTYPES = list(TOLERANCE)
DECAY = decays(H, 4, 32)


def tokens(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """q, k, v (B, H, N, E) and a memory (B, H, E, E)."""
    draw = torch.Generator().manual_seed(seed)
    parts = torch.randn(3, B, H, count, E, dtype=dtype, generator=draw)
    return [*parts, torch.randn(B, H, E, E, dtype=dtype, generator=draw)]


def by_definition(q: Tensor, k: Tensor, v: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """o_n = q_n S_n with S_n = decay S_{n-1} + k_n^T v_n, one token at a time."""
    count = q.shape[2]
    q, k = (turned(x, torch.arange(count)) for x in (q, k))
    decay = DECAY.to(q.dtype)[:, None, None]
    read = []
    for n in range(count):
        memory = decay * memory + k[:, :, n, :, None] * v[:, :, n, None]
        read.append(torch.einsum("bhe,bhef->bhf", q[:, :, n], memory))
    back = torch.full((E,), -count)
    return torch.stack(read, dim=2), turned(memory.mT, back).mT


def in_chunks(q: Tensor, k: Tensor, v: Tensor, memory: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """One call for as many whole chunks as there are, and one for the rest."""
    decay, count = DECAY.to(q.dtype), q.shape[2]
    whole = count - count % size
    read = []
    for part, length in ((slice(0, whole), size), (slice(whole, count), count % size)):
        if length:
            cut = (x[:, :, part].unflatten(2, (-1, length)) for x in (q, k, v))
            found, memory = retain(*cut, decay, memory, length)
            read.append(found.flatten(2, 3))
    return torch.cat(read, dim=2), memory


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 5, 15, 40, 7, 39])
def test_parallel_recurrent_and_chunkwise_are_one(size: int, dtype: torch.dtype) -> None:
    given = tokens(40, dtype)
    found, expected = in_chunks(*given, size), by_definition(*given)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype])


def test_a_memory_is_carried_on_call_by_call() -> None:
    *qkv, memory = tokens(40)
    read = []
    for start in range(0, 40, 8):
        one, memory = in_chunks(*(x[:, :, start : start + 8] for x in qkv), memory, 4)
        read.append(one)
    expected, after = by_definition(*qkv, tokens(40)[3])
    torch.testing.assert_close(torch.cat(read, dim=2), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(memory, after, rtol=0, atol=1e-10)


def test_only_differences_of_places_count() -> None:
    q, k, _, memory = tokens(12)
    places = torch.arange(12)
    near = turned(q, places) @ turned(k, places).mT
    for shift in (1, 1000, 10**6):
        far = turned(q, places + shift) @ turned(k, places + shift).mT
        torch.testing.assert_close(far, near, rtol=0, atol=1e-8)
        moved = turned(memory.mT, torch.full((E,), shift)).mT
        read = turned(q, places + shift) @ moved
        torch.testing.assert_close(read, turned(q, places) @ memory, rtol=0, atol=1e-8)


def test_a_long_dream_stays_exact_in_single_precision() -> None:
    # 3,000 tokens: with growing places in half precision neighbours would be told apart no more
    given = tokens(3000, torch.float32)
    *wide, memory = (x.double() for x in given)
    carried = given[3]
    for start in range(0, 3000, 100):
        last, carried = in_chunks(*(x[:, :, start : start + 100] for x in given[:3]), carried, 50)
    expected, _ = by_definition(*wide, memory)
    torch.testing.assert_close(last.double(), expected[:, :, -100:], rtol=0, atol=1e-4)


def test_angles_are_not_half_precision() -> None:
    x = torch.randn(300, E, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = turned(x, torch.arange(300))
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), turned(x.double(), torch.arange(300)), rtol=0, atol=1e-4
    )
    with torch.autocast("cpu", torch.bfloat16):
        layer = Retention(24, 2, 0.0, 4, 32)
        _, memory = layer(torch.randn(1, 2, 6, 24), 6, layer.empty(1), torch.zeros(1))
    assert memory.dtype == torch.float32


def test_heads_remember_from_near_to_far() -> None:
    # the decays that were published for four heads
    found = decays(4, 32, 512)
    torch.testing.assert_close(
        found, torch.tensor([0.96875, 0.98760, 0.99508, 0.99805]).double(), rtol=0, atol=5e-6
    )


def test_the_norm_is_of_one_token_and_head() -> None:
    layer = Retention(24, 2, 0.0, 4, 32).double()
    x = torch.randn(B, 1, 20, 24, dtype=torch.float64)
    whole, _ = layer(x, 20, layer.empty(B), torch.zeros(B))
    start, _ = layer(x[:, :, :7], 7, layer.empty(B), torch.zeros(B))
    torch.testing.assert_close(whole[:, :, :7], start, rtol=0, atol=1e-12)


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="a width of 20 cannot be shared by 4 heads"):
        Retention(20, 4, 0.0, 4, 32)
