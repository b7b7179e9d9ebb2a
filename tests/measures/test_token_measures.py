"""How a token world model is judged: by hand on a few tokens, beside copying and counting."""

import math
from types import SimpleNamespace

import pytest
import torch

from world_models.data.batch import TokenBatch
from world_models.measures.tokens import TokenJudgement, TokenStatistics, counts_of
from world_models.models.token_world import Foreseen
from world_models.models.two_hot import Signs

CHANCES = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
STATISTICS = TokenStatistics(CHANCES.log(), torch.tensor([0, 1, 0]), torch.tensor([1, 2, 1]))


def judged() -> TokenJudgement:
    """Two steps of one row, of which the second's next frame is not known."""
    tokens = torch.tensor([[[0, 1], [2, 1], [0, 0]]])
    logits = torch.zeros(1, 2, 2, 3)
    # the changed token is foreseen with 3 to 2, the other one is not
    logits[0, 0, 0, 2] = math.log(3)
    logits[0, 0, 1, 0] = math.log(2)
    reward = torch.tensor([[[0.0, 0.0, 9.0], [0.0, 9.0, 0.0]]])
    found = Foreseen(logits, reward, torch.tensor([[-1.0, 2.0]]))
    model = SimpleNamespace(reward_code=Signs())
    rewards, ends = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    mask, known = torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
    batch = TokenBatch(tokens, torch.zeros(1, 2, 1), rewards, ends, mask, known)
    judgement = TokenJudgement(STATISTICS)
    model_of = type("Model", (), {"__call__": lambda self, *_: found, **vars(model)})
    judgement.add(model_of(), batch)  # type: ignore[arg-type]
    return judgement


def test_changed_tokens_are_told_apart() -> None:
    row = judged().row(reward_weight=2.0)
    assert row.changed == pytest.approx(-math.log(3 / 5))
    assert row.tokens == pytest.approx((math.log(5 / 3) + math.log(4)) / 2)
    assert (row.accuracy, row.accuracy_changed, row.copy_accuracy) == (0.5, 1.0, 0.5)
    assert row.unigram_changed == pytest.approx(math.log(4))
    assert row.unigram == pytest.approx((math.log(4) + math.log(10)) / 2)
    # the commonest token of that place is another
    assert row.unigram_accuracy_changed == 0
    assert row.loss == pytest.approx(row.tokens + 2 * row.reward + row.end)


def test_ends_and_rewards_are_found_or_not() -> None:
    row = judged().row(reward_weight=1.0)
    assert (row.ends, row.end_recall, row.end_precision) == (1, 1.0, 1.0)
    assert (row.rewards, row.reward_recall, row.reward_precision) == (2, 0.5, 1.0)
    assert row.end == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(-2))) / 2)


def test_a_frame_with_too_many_or_too_few_of_a_token_is_odd() -> None:
    frames = torch.tensor([[1, 1], [0, 1], [0, 0], [0, 2], [2, 2]])
    assert counts_of(frames, 3).tolist() == [[0, 2, 0], [1, 1, 0], [2, 0, 0], [1, 0, 1], [0, 0, 2]]
    doubled, lost = STATISTICS.odd(frames)
    assert doubled.tolist() == [False, False, True, False, True]
    assert lost.tolist() == [False, False, True, True, True]
