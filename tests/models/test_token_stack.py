"""Blocks and the prediction tokens behind them, by retention and by attention.

They are what one big masked matrix says, and nothing leaks from what comes later.
"""

import pytest
import torch
from token_oracle import oracle
from torch import Tensor

from world_models.models.block_attention import BlockAttention
from world_models.models.retention import Retention
from world_models.models.token_stack import Sequence, TokenStack

B, T, K, P, D = 2, 4, 3, 4, 16
KINDS = list(Sequence)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


def stack_of(kind: Sequence, dtype: torch.dtype = torch.float64, slots: int = 3 * P) -> TokenStack:
    torch.manual_seed(0)
    mixes: list[Retention | BlockAttention] = [
        Retention(D, 2, 0.0, 2, 30)
        if kind is Sequence.retention
        else BlockAttention(D, 2, 0.0, slots)
        for _ in range(3)
    ]
    return TokenStack(mixes, D, 0.0).to(dtype).eval()


def chunks(dtype: torch.dtype = torch.float64, seed: int = 0, count: int = T) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(B, count, P + K, D, generator=draw, dtype=torch.float64).to(dtype)


def seen(count: int = 0) -> Tensor:
    return torch.full((B,), count)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("kind", KINDS)
def test_all_chunks_at_once_are_one_big_masked_matrix(kind: Sequence, dtype: torch.dtype) -> None:
    stack, x = stack_of(kind, dtype), chunks(dtype)
    found, _ = stack(x, P, stack.empty(B), seen())
    torch.testing.assert_close(found, oracle(stack, x, P), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("kind", KINDS)
def test_prediction_tokens_change_nothing_of_the_blocks(kind: Sequence, dtype: torch.dtype) -> None:
    stack, x = stack_of(kind, dtype), chunks(dtype)
    near = 1e-12 if dtype is torch.float64 else TOLERANCE[dtype]
    both, memory = stack(x, P, stack.empty(B), seen())
    alone, same = stack(x[:, :, :P], P, stack.empty(B), seen())
    torch.testing.assert_close(both[:, :, :P], alone, rtol=0, atol=near)
    torch.testing.assert_close(memory, same, rtol=0, atol=near)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("kind", KINDS)
def test_one_chunk_a_call_is_all_at_once(kind: Sequence, dtype: torch.dtype) -> None:
    stack, x = stack_of(kind, dtype), chunks(dtype)
    expected, after = stack(x, P, stack.empty(B), seen())
    memory, found = stack.empty(B), []
    for t in range(T):
        one, memory = stack(x[:, t : t + 1], P, memory, seen(t * P))
        found.append(one)
    torch.testing.assert_close(torch.cat(found, 1), expected, rtol=0, atol=TOLERANCE[dtype])
    torch.testing.assert_close(memory, after, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_that_is_carried_in(kind: Sequence) -> None:
    # three blocks before: as many as attention keeps
    stack, x = stack_of(kind), chunks(count=5)
    before, memory = stack(x[:, :3], P, stack.empty(B), seen())
    after, _ = stack(x[:, 3:4], P, memory, seen(3 * P))
    both = torch.cat([before, after], dim=1)
    torch.testing.assert_close(both, oracle(stack, x[:, :4], P), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_for_the_block_and_one_for_its_prediction_tokens_are_one(kind: Sequence) -> None:
    stack, x = stack_of(kind), chunks(count=2)
    _, memory = stack(x[:, :1], P, stack.empty(B), seen())
    fused, kept = stack(x[:, 1:], P, memory, seen(P))
    block, after = stack(x[:, 1:, :P], P, memory, seen(P))
    ahead, _ = stack(x[:, 1:, P:], K, after, seen(2 * P))
    torch.testing.assert_close(fused, torch.cat([block, ahead], dim=2), rtol=0, atol=1e-10)
    torch.testing.assert_close(kept, after, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, P - 1, P, P + K - 1])
def test_nothing_reads_what_comes_later(kind: Sequence, place: int) -> None:
    stack, x = stack_of(kind, torch.float32), chunks(torch.float32)
    other = x.clone()
    other[:, 1, place] = torch.randn(B, D, generator=torch.Generator().manual_seed(7))
    found, changed = (stack(given, P, stack.empty(B), seen())[0] for given in (x, other))
    same = (found == changed).all(-1).all(0)
    assert same[0].all() and same[1, :place].all(), "an earlier token saw it"
    assert not same[1, place:].any(), "the own chunk did not see it"
    if place < P:
        assert not same[2:].any(), "later chunks did not see a token that is remembered"
    else:
        assert same[2:].all(), "a prediction token was remembered"


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_what_comes_later_is_zero(kind: Sequence) -> None:
    stack, x = stack_of(kind), chunks().requires_grad_()
    stack(x, P, stack.empty(B), seen())[0][:, 1, P:].square().sum().backward()
    assert x.grad is not None
    assert not x.grad[:, 2:].any() and not x.grad[:, 0, P:].any()
    assert x.grad[:, :2, :P].abs().amin((0, 3)).min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_see_each_other(kind: Sequence) -> None:
    stack, x = stack_of(kind, torch.float32), chunks(torch.float32)
    found, _ = stack(x, P, stack.empty(B), seen())
    other = torch.cat([x[:1], chunks(torch.float32, seed=3)[:1]])
    assert torch.equal(stack(other, P, stack.empty(B), seen())[0][0], found[0])
    assert torch.equal(stack(x.flip(0), P, stack.empty(B), seen())[0].flip(0), found)


def test_attention_reads_back_only_as_far_as_it_keeps() -> None:
    stack, x = stack_of(Sequence.attention, slots=P), chunks(count=3)
    # through further layers, what lies further back would reach it
    stack.layers = torch.nn.ModuleList(list(stack.layers)[:1])
    memory = stack.empty(B)
    for t in range(3):
        last, memory = stack(x[:, t : t + 1], P, memory, seen(t * P))
    torch.testing.assert_close(last, oracle(stack, x[:, 1:], P)[:, 1:], rtol=0, atol=1e-10)


def test_rows_may_be_of_different_ages() -> None:
    stack, x = stack_of(Sequence.attention), chunks(count=2)
    _, memory = stack(x[:, :1], P, stack.empty(B), seen())
    mixed = torch.cat([memory[:1], stack.empty(1)])
    found, _ = stack(x[:, 1:], P, mixed, torch.tensor([P, 0]))
    torch.testing.assert_close(found[:1], oracle(stack, x, P)[:1, 1:], rtol=0, atol=1e-10)
    torch.testing.assert_close(found[1:], oracle(stack, x[:, 1:], P)[1:], rtol=0, atol=1e-10)
