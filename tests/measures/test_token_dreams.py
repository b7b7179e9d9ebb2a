"""Token dreams beside what came: a world that is known is foreseen, copying is not enough."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from world_models.data.batch import TokenBatch
from world_models.measures.token_dreams import DreamWindows, count_rows, dreamt, horizon_rows
from world_models.measures.tokens import TokenStatistics
from world_models.models.token_world import Choose, TokenState

K, V, CONTEXT, HORIZON, ROWS = 3, 5, 2, 3, 6


class Counter:
    """A world in which every token grows by one, but by two in one place after two steps."""

    def eval(self) -> None:
        pass

    def begin(self, tokens: Tensor, actions: Tensor) -> TokenState:
        assert tokens.shape[1] == actions.shape[1] + 1 == CONTEXT
        return TokenState(tokens[:, -1], torch.zeros(len(tokens)), tokens[:, -1], tokens[:, -2])

    def step(self, state: TokenState, actions: Tensor, choose: Choose) -> tuple[TokenState, None]:
        assert actions.shape == (ROWS, 1)
        following = (state.tokens + 1) % V
        if state.seen[0] == 1:
            following[:, 0] = (following[:, 0] + 1) % V
        logits = torch.nn.functional.one_hot(following, V) * 50.0
        return TokenState(state.memory, state.seen + 1, choose(logits), state.tokens), None


def truth() -> TokenBatch:
    first = torch.arange(ROWS)[:, None, None] + torch.arange(K)
    tokens = (first + torch.arange(CONTEXT + HORIZON)[:, None]) % V
    zeros = torch.zeros(ROWS, CONTEXT + HORIZON - 1)
    return TokenBatch(tokens, zeros[..., None], zeros, zeros, zeros, zeros)


class Starts:
    context, horizon = CONTEXT, HORIZON

    def __len__(self) -> int:
        return ROWS

    def batches(self, device: str) -> list[TokenBatch]:
        return [truth()]


STATISTICS = TokenStatistics(
    torch.eye(V)[:K], torch.zeros(V, dtype=torch.int64), torch.ones(V, dtype=torch.int64)
)


def test_a_dream_is_compared_frame_by_frame() -> None:
    rows = horizon_rows(Counter(), Starts(), STATISTICS, "cpu")  # type: ignore[arg-type]
    assert [row.horizon for row in rows] == [1, 2, 3] and all(row.n == ROWS for row in rows)
    assert [row.exact for row in rows] == [1.0, 0.0, 0.0]
    assert [row.accuracy for row in rows] == pytest.approx([1.0, 2 / 3, 2 / 3])
    # of V = 5 numbers, none is again itself within three steps
    assert all(row.copy_accuracy == 0 and row.changed == 1 for row in rows)
    assert rows[1].accuracy_changed == pytest.approx(2 / 3)


def test_it_begins_after_what_was_seen() -> None:
    batch = truth()
    found = dreamt(Counter(), batch, CONTEXT, lambda logits: logits.argmax(-1))  # type: ignore[arg-type]
    assert torch.equal(found[:, 0], batch.tokens[:, CONTEXT])


def test_doubled_tokens_are_counted() -> None:
    rows = count_rows(Counter(), Starts(), STATISTICS, "cpu", 0)  # type: ignore[arg-type]
    assert [row.drawn for row in rows] == ["real", "independent", "counted"]
    assert rows[0].doubled == rows[0].lost == 0
    # tokens 0, 1, 2 become 2, 2, 3 in the second step: one of them is there twice, and stays so
    assert rows[1].doubled == pytest.approx(2 / 3) and rows[1].frames == ROWS * HORIZON


def test_windows_are_whole_and_spread() -> None:
    rows = [SimpleNamespace(length=length) for length in (2, 4, 9)]
    store = SimpleNamespace(has_final_frame=True, folder="episodes")
    per_episode = np.array([1, 1, 6])
    data = SimpleNamespace(
        seq_len=4, context=2, rows=rows, store=store, windows_per_episode=per_episode
    )
    starts = DreamWindows(data, 3)  # type: ignore[arg-type]
    assert starts.items.tolist() == [1, 3, 6] and (starts.context, starts.horizon) == (2, 3)
    data.rows = rows[:1]
    with pytest.raises(
        ValueError, match="no episode of episodes that is to be judged has 5 frames"
    ):
        DreamWindows(data, 3)  # type: ignore[arg-type]
