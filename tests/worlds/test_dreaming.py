"""Dreams on tensors: what is rewarded, when an episode ends, and that rows stand alone."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from walker import Walk, Walker

from world_models.models.draws import Draws, RowDraws
from world_models.runs import seeding
from world_models.worlds.dreaming import Dream, Outcome, Reward, Rules
from world_models.worlds.world import Advance, select

FAIR = 0.0
"""The logit of one half."""


class Mortal(Walker):
    """Its rows end with one and the same probability at every step."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def advance(self, state: Walk, actions: torch.Tensor, draws: Draws) -> Advance[Walk]:
        after = super().advance(state, actions, draws)
        return replace(after, done=torch.full_like(after.reward, self.logit))


class Mute(Walker):
    """A world without heads."""

    def advance(self, state: Walk, actions: torch.Tensor, draws: Draws) -> Advance[Walk]:
        return replace(super().advance(state, actions, draws), reward=None, done=None)


def onward(rows: int) -> torch.Tensor:
    return torch.tensor([[0.0, 1.0]]).expand(rows, -1)


def played(dream: Dream, seeds: torch.Tensor, steps: int) -> list[Outcome]:
    """Every row goes on, whether it is over or not."""
    state = dream.begin(seeds)
    outcomes = []
    for step in range(steps):
        number = torch.full_like(seeds, step)
        outcome = dream.step(state, onward(len(seeds)), RowDraws(seeds, number), number)
        state = outcome.state
        outcomes.append(outcome)
    return outcomes


def parts(outcome: Outcome) -> list[torch.Tensor]:
    return [*outcome.state, outcome.rewards, outcome.ended, outcome.late]


def test_one_row_is_a_plain_loop() -> None:
    dream = Dream(Walker(shake=0.3), Rules(max_steps=4))
    seeds = torch.tensor([11])
    found = played(dream, seeds, 7)
    place = torch.tensor([[float(seeding.generator(11, "dream").integers(5)), 0.0]])
    for step, outcome in enumerate(found):
        noise = RowDraws(seeds, torch.tensor([step])).normal(place)
        place = place + onward(1) + 0.3 * noise
        assert torch.equal(outcome.state.place, place)
        assert torch.equal(outcome.rewards, place[:, 1])
        assert outcome.ended.item() == bool(place[0, 1] > 5)
        assert outcome.late.item() == (step >= 3 and not outcome.ended.item())


@pytest.mark.parametrize("end", [0.5, None])
def test_rows_may_be_reordered_and_dropped(end: float | None) -> None:
    dream = Dream(Walker(shake=0.3), Rules(end=end, max_steps=5))
    seeds = torch.arange(40, 57)
    order = torch.from_numpy(np.random.default_rng(0).permutation(17))
    whole = played(dream, seeds, 7)
    for kept in (order, order[:5], order[:1]):
        others = played(dream, seeds[kept], 7)
        for left, right in zip(whole, others, strict=True):
            for mine, other in zip(parts(left), parts(right), strict=True):
                assert torch.equal(mine[kept], other)
    assert len({outcome.ended.sum().item() for outcome in whole}) > 2, "not all at once"
    # those that go on, halfway
    state, left = select(whole[2].state, order[:4]), seeds[order[:4]]
    number = torch.full((4,), 3)
    after = dream.step(state, onward(4), RowDraws(left, number), number)
    assert torch.equal(after.state.place, whole[3].state.place[order[:4]])


@pytest.mark.parametrize("logit", [-2.0, FAIR, 1.5])
def test_drawn_ends_come_as_often_as_they_are_predicted(logit: float) -> None:
    dream = Dream(Mortal(logit), Rules(end=None))
    ended = torch.stack([one.ended for one in played(dream, torch.arange(4000), 5)]).double()
    predicted = 1 / (1 + math.exp(-logit))
    spread = math.sqrt(predicted * (1 - predicted) / ended.numel())
    assert abs(ended.mean().item() - predicted) < 4 * spread
    # neither the steps of a row nor rows beside each other know of one another
    centred = ended - predicted
    for products in (centred[1:] * centred[:-1], centred[:, 1:] * centred[:, :-1]):
        assert abs(products.mean().item()) < 4 * predicted * (1 - predicted) / math.sqrt(16_000)


def test_a_threshold_is_a_probability() -> None:
    for probability in (0.1, 0.5, 0.9):
        for end, ended in ((probability - 0.01, True), (probability + 0.01, False)):
            world = Mortal(math.log(probability / (1 - probability)))
            outcome = played(Dream(world, Rules(end=end)), torch.tensor([0]), 1)[0]
            assert outcome.ended.item() is ended
    even = played(Dream(Mortal(FAIR), Rules()), torch.tensor([0]), 1)[0]
    assert not even.ended.item(), "an end is not more likely than not"


@pytest.mark.parametrize("skip", [1, 4])
def test_survival_is_one_for_each_frame_whatever_the_head_says(skip: int) -> None:
    world = Walker()
    world.env = replace(world.env, frame_skip=skip)
    dream = Dream(world, Rules(Reward.survival))
    assert all(one.rewards.tolist() == [skip, skip] for one in played(dream, torch.arange(2), 7))


def test_a_users_function_is_given_both_sides_and_the_actions() -> None:
    given: list[tuple[torch.Tensor, ...]] = []

    def reward(before: torch.Tensor, actions: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        given.append((before, actions, after))
        return (after - before)[:, 1].double() * 2

    seeds = torch.tensor([3, 4, 5])
    dream = Dream(Walker(), Rules(reward))
    found = played(dream, seeds, 3)
    assert all(one.rewards.tolist() == [2, 2, 2] for one in found)
    assert found[0].rewards.dtype == torch.float32
    seen = [dream.begin(seeds).place, *(one.state.place for one in found)]
    for step, (before, actions, after) in enumerate(given):
        assert torch.equal(before, seen[step]) and torch.equal(after, seen[step + 1])
        assert torch.equal(actions, onward(3))


def test_a_reward_for_each_row_is_asked_for() -> None:
    dream = Dream(Walker(), Rules(lambda before, actions, after: after))
    with pytest.raises(ValueError, match=r"gave \(3, 2\) for 3 rows; it must give one number"):
        played(dream, torch.arange(3), 1)


def test_without_heads_nothing_is_gained_and_episodes_are_cut() -> None:
    found = played(Dream(Mute(), Rules(max_steps=3)), torch.arange(2), 3)
    assert not any(one.rewards.any() or one.ended.any() for one in found)
    assert [one.late.tolist() for one in found] == [[False] * 2, [False] * 2, [True] * 2]


@pytest.mark.parametrize(
    ("rewards", "sentence"),
    [
        (1.0, "gave float; it must give a tensor"),
        (np.ones(3), "gave ndarray; it must give a tensor"),
        (None, "gave NoneType; it must give a tensor"),
        (torch.tensor([1.0, torch.nan, 0.0]), "gave NaN or infinite numbers"),
    ],
)
def test_a_reward_function_gives_finite_numbers(rewards: Any, sentence: str) -> None:
    dream = Dream(Walker(), Rules(lambda before, actions, after: rewards))
    with pytest.raises(ValueError, match=f"the dream's reward function {sentence}"):
        played(dream, torch.arange(3), 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"end": 0.0},
        {"end": 1.0},
        {"end": -1.0},
        {"end": "never"},
        {"max_steps": 0},
        {"max_steps": 1.5},
        {"max_steps": True},
        {"max_steps": "10"},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=rf"a dream's {next(iter(wrong))} is"):
        Rules(**wrong)
