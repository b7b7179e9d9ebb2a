"""Windows of tokens in memory: where they lie, how they are padded, what counts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from world_models.data.store import EpisodeStore
from world_models.data.token_episodes import TokenEpisodes
from world_models.data.tokens import TokenStore, write_tokens
from world_models.losses import lambda_returns

MakeStore = Callable[..., EpisodeStore]
LENGTHS = [5, 1, 9, 4, 12, 3, 7]


def encode(frames: torch.Tensor) -> torch.Tensor:
    """Tokens (B, 1, 2): (t, number of the episode), as the synthetic frames show them."""
    return frames[:, :1, 0, :2].long()


@pytest.fixture
def episodes(make_store: MakeStore, tmp_path: Path) -> TokenEpisodes:
    store = make_store()
    write_tokens(encode, 64, store, tmp_path / "tokens", "a" * 64)
    return TokenEpisodes.of(store, TokenStore.open(tmp_path / "tokens", "a" * 64, store), None)


def test_rows_are_those_of_the_store(episodes: TokenEpisodes) -> None:
    assert episodes.lengths.tolist() == LENGTHS and episodes.num_steps == sum(LENGTHS)
    expected = [(t, number) for number, length in enumerate(LENGTHS) for t in range(length + 1)]
    assert episodes.tokens[:, 0].tolist() == [list(pair) for pair in expected]


def test_places_are_all_steps(episodes: TokenEpisodes) -> None:
    places = episodes.tokens[episodes.places()][:, 0].tolist()
    assert places == [[t, number] for number, length in enumerate(LENGTHS) for t in range(length)]


def test_a_history_ends_at_its_frame_and_is_padded_on_the_left(episodes: TokenEpisodes) -> None:
    rows = episodes.places()
    history = episodes.history(rows, 4)
    for tokens, actions, valid in zip(*history, strict=True):
        now, number = tokens[-1, 0].tolist()
        there = min(now + 1, 4)
        assert valid.tolist() == [False] * (4 - there) + [True] * there
        steps = list(range(now + 1 - there, now + 1))
        assert tokens[4 - there :, 0].tolist() == [[t, number] for t in steps]
        assert actions[4 - there :, 0].tolist() == steps
        assert not actions[: 4 - there].any()


def test_a_stretch_begins_at_its_row_and_is_padded_on_the_right(episodes: TokenEpisodes) -> None:
    rows = episodes.places()
    stretch = episodes.stretch(rows, 3)
    firsts = episodes.tokens[rows][:, 0].tolist()
    for index, (now, number) in enumerate(firsts):
        left = LENGTHS[number] - now
        inside = [step < left for step in range(3)]
        assert stretch.valid[index].tolist() == inside
        last = [step == left - 1 for step in range(3)]
        assert stretch.ends[index].tolist() == [number % 2 == 0 and here for here in last]
        assert stretch.cuts[index].tolist() == [number % 2 == 1 and here for here in last]
        seen = [min(now + step, LENGTHS[number]) for step in range(4)]
        assert stretch.tokens[index, :, 0].tolist() == [[t, number] for t in seen]
        rewards = [float(now + step) if here else 0.0 for step, here in enumerate(inside)]
        assert stretch.rewards[index].tolist() == rewards
        assert stretch.actions[index, :, 0].tolist() == rewards


def test_tiles_hold_each_step_once(episodes: TokenEpisodes) -> None:
    stretch = episodes.stretch(episodes.tiles(4), 4)
    steps = stretch.tokens[:, :-1, 0][stretch.valid]
    assert len(steps) == len(steps.unique(dim=0)) == episodes.num_steps


def test_without_the_frame_after_it_a_cut_teaches_nothing(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(has_final_frame=False)
    write_tokens(encode, 64, store, tmp_path / "tokens", "a" * 64)
    tokens = TokenStore.open(tmp_path / "tokens", "a" * 64, store)
    stretch = TokenEpisodes.of(store, tokens, None).stretch(torch.tensor([0, 6]), 8)
    # the first ended after five steps, the second was cut after one
    assert stretch.valid.sum(1).tolist() == [5, 0]
    # the fourth was cut after four: what its third step led to is seen, and stands for the rest
    fourth = TokenEpisodes.of(store, tokens, None).stretch(torch.tensor([18]), 4)
    assert fourth.valid.tolist() == [[True, True, True, False]]
    assert fourth.cuts.tolist() == [[False, False, True, False]]
    seen = torch.tensor([[10.0], [20.0], [30.0], [7.0]])
    returns = lambda_returns(torch.ones(4, 1), seen, fourth.ends.T, fourth.cuts.T, 0.5, 1.0)
    assert returns[:3, 0].tolist() == [5.5, 9.0, 16.0]


def test_later_episodes_alone(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    write_tokens(encode, 64, store, tmp_path / "tokens", "a" * 64)
    tokens = TokenStore.open(tmp_path / "tokens", "a" * 64, store)
    assert TokenEpisodes.of(store, tokens, None, first=5).lengths.tolist() == LENGTHS[5:]
