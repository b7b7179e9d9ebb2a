"""Returns and losses of the actor-critic against literal recursions and sums."""

import pytest
import torch

from world_models.losses import actor_critic_loss, before_ends, lambda_returns, normalised

DISCOUNT = 0.97


def case(steps: int, rows: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, steps, rows, generator=draw, dtype=torch.float64)
    ends, cuts = torch.rand(2, steps, rows, generator=draw) < 0.2
    return rewards, values, ends, cuts & ~ends


def literal(
    rewards: list[float],
    values: list[float],
    ends: list[bool],
    cuts: list[bool],
    trace: float,
) -> float:
    """G_0 of what is left."""
    if ends[0]:
        return rewards[0]
    if cuts[0] or len(rewards) == 1:
        return rewards[0] + DISCOUNT * values[0]
    rest = literal(rewards[1:], values[1:], ends[1:], cuts[1:], trace)
    return rewards[0] + DISCOUNT * ((1 - trace) * values[0] + trace * rest)


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_returns_are_those_of_the_literal_recursion(trace: float) -> None:
    parts = case(7, 5)
    returns = lambda_returns(*parts, DISCOUNT, trace)
    for t in range(7):
        for row in range(5):
            left = [part[t:, row].tolist() for part in parts]
            assert returns[t, row].item() == pytest.approx(literal(*left, trace), abs=1e-12)


def test_the_ends_of_the_trace() -> None:
    """0: one step and a value; 1: all rewards, discounted, and the last value."""
    rewards, values, _, _ = case(6, 3)
    never = torch.zeros(6, 3, dtype=torch.bool)
    one_step = lambda_returns(rewards, values, never, never, DISCOUNT, 0.0)
    torch.testing.assert_close(one_step, rewards + DISCOUNT * values)
    powers = DISCOUNT ** torch.arange(7, dtype=torch.float64)
    whole = (powers[:6, None] * rewards).sum(0) + powers[6] * values[-1]
    torch.testing.assert_close(
        lambda_returns(rewards, values, never, never, DISCOUNT, 1.0)[0], whole
    )


def test_nothing_after_an_end_counts_and_only_the_next_value_after_a_cut() -> None:
    rewards, values, ends, cuts = case(6, 4)
    ends[2, :2], cuts[2, :2], cuts[2, 2:], ends[2, 2:] = True, False, True, False
    returns = lambda_returns(rewards, values, ends, cuts, DISCOUNT, 0.9)
    rewards[3:], values[3:] = 1e9, -1e9
    again = lambda_returns(rewards, values, ends, cuts, DISCOUNT, 0.9)
    assert torch.equal(again[:3], returns[:3])
    values[2] += 1
    moved = lambda_returns(rewards, values, ends, cuts, DISCOUNT, 0.9)[2] - returns[2]
    torch.testing.assert_close(moved, torch.tensor([0, 0, DISCOUNT, DISCOUNT]).double())


def test_steps_count_up_to_the_end_and_with_it() -> None:
    ends = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.bool).T
    assert before_ends(ends).T.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]


def test_normalised_values_read_the_mask_alone() -> None:
    values = torch.tensor([[1.0, 3.0], [5.0, 99.0]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = normalised(values, mask)[mask > 0]
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 1.0]) * 1.5**0.5)
    assert not normalised(torch.ones(2, 2), mask).any()


def test_the_loss_is_the_sum_of_its_definitions() -> None:
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 2, 4, generator=draw, requires_grad=True)
    actions = torch.randint(4, (3, 2), generator=draw)
    advantages, errors = torch.randn(2, 3, 2, generator=draw)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    loss, terms = actor_critic_loss(logits, actions, advantages, errors, mask, 0.1)
    policy = torch.distributions.Categorical(logits=logits)
    counted = mask == 1
    actor = -(policy.log_prob(actions) * advantages)[counted].mean()
    critic, entropy = errors[counted].mean(), policy.entropy()[counted].mean()
    torch.testing.assert_close(loss, actor + critic - 0.1 * entropy)
    assert terms["entropy"].item() == pytest.approx(entropy.item())
    loss.backward()
    assert logits.grad is not None
    # what comes after an end teaches nothing
    assert not logits.grad[mask == 0].any() and logits.grad[counted].all()
