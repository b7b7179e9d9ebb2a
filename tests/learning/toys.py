"""Worlds of tokens that are known by heart, and tokenizers of their frames."""

from typing import NamedTuple

import torch
from torch import Tensor

from world_models.data.episode import RUNNING, TERMINATED, TRUNCATED
from world_models.data.token_episodes import TokenEpisodes
from world_models.models.draws import Draws
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.worlds.world import Advance

NEVER = -50.0
"""Logit of an end that does not come."""


class TwoCodes(Tokenizer):
    """A frame is one of two codes, of which each is a vector of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.vocabulary, self.code_size, self.grid = 2, 3, (1, 1)
        self.book = torch.nn.Parameter(torch.tensor([[3.0, 0.0, -3.0], [-3.0, 3.0, 1.5]]))

    @property
    def table(self) -> Tensor:
        return self.book.detach()


class Lamp(NamedTuple):
    # (B,) int64: off or on
    lit: Tensor
    # (B,) int64: steps so far
    age: Tensor


class LampWorld:
    """Action 1 is right where the lamp is on, action 0 where it is off: that brings 1.

    Then the lamp is switched by chance. With `lasts` an episode ends after so many steps.
    """

    context = 1

    def __init__(self, lasts: int | None = None) -> None:
        self.lasts = lasts

    def after(self, tokens: Tensor, actions: Tensor) -> Lamp:
        assert tokens.shape[1:] == (self.context, 1, 1), tokens.shape
        return Lamp(tokens[:, -1, 0, 0], torch.zeros(len(tokens), dtype=torch.int64))

    def advance(self, state: Lamp, actions: Tensor, draws: Draws) -> Advance[Lamp]:
        reward = (actions.argmax(1) == state.lit).float()
        lit = (draws.exponential(reward) < 0.6931).long()
        over = torch.zeros(len(lit), dtype=torch.bool)
        if self.lasts is not None:
            over = state.age + 1 >= self.lasts
        return Advance(Lamp(lit, state.age + 1), reward, torch.where(over, -NEVER, NEVER))

    def tokens(self, state: Lamp) -> Tensor:
        return state.lit[:, None, None]


def lamp_episodes(lengths: list[int], seed: int = 0, right: bool = True) -> TokenEpisodes:
    """Episodes of the lamp, in which the right thing is done, or what chance says."""
    draw = torch.Generator().manual_seed(seed)
    rows = sum(lengths) + len(lengths)
    lit = torch.randint(2, (rows,), generator=draw)
    done = lit if right else torch.randint(2, (rows,), generator=draw)
    ends = torch.full((rows,), RUNNING, dtype=torch.uint8)
    counts = torch.tensor(lengths)
    starts = (counts + 1).cumsum(0) - (counts + 1)
    for number, (start, length) in enumerate(zip(starts.tolist(), lengths, strict=True)):
        ends[start + length - 1] = TRUNCATED if number % 2 else TERMINATED
    return TokenEpisodes(
        tokens=lit[:, None, None].short(),
        actions=torch.nn.functional.one_hot(done, 2).float(),
        rewards=(done == lit).float(),
        done=ends,
        starts=starts,
        lengths=counts,
        has_final_frame=True,
    )


class DarkCodes(Tokenizer):
    """Ground, walker and goal on a row of tiles; most of each vector is the dark around it."""

    def __init__(self, tiles: int) -> None:
        super().__init__()
        self.vocabulary, self.code_size, self.grid = 3, 12, (1, tiles)
        book = torch.full((3, 12), -0.8)
        book[1, :4], book[2, 4:6] = 0.5, 0.9
        self.book = book

    @property
    def table(self) -> Tensor:
        return self.book


class Walk(NamedTuple):
    # (B,) int64: the tile of each
    walker: Tensor
    goal: Tensor


class Corridor:
    """Action 0 goes left, 1 right; to come to the goal brings 1 and the end."""

    context = 1

    def __init__(self, tiles: int) -> None:
        self.tiles = tiles

    def everywhere(self) -> Walk:
        """Walker and goal on any two tiles."""
        pairs = torch.cartesian_prod(torch.arange(self.tiles), torch.arange(self.tiles))
        return Walk(*pairs[pairs[:, 0] != pairs[:, 1]].T)

    def after(self, tokens: Tensor, actions: Tensor) -> Walk:
        row = tokens[:, -1, 0]
        return Walk((row == 1).int().argmax(1), (row == 2).int().argmax(1))

    def advance(self, state: Walk, actions: Tensor, draws: Draws) -> Advance[Walk]:
        walker = (state.walker + 2 * actions.argmax(1) - 1).clamp(0, self.tiles - 1)
        there = walker == state.goal
        return Advance(Walk(walker, state.goal), there.float(), torch.where(there, -NEVER, NEVER))

    def tokens(self, state: Walk) -> Tensor:
        rows = torch.arange(len(state.walker))
        tokens = torch.zeros(len(rows), self.tiles, dtype=torch.int64)
        tokens[rows, state.goal] = 2
        tokens[rows, state.walker] = 1
        return tokens[:, None]

    def episodes(self) -> TokenEpisodes:
        """One of a step from everywhere."""
        tokens = self.tokens(self.everywhere()).repeat_interleave(2, 0)
        count = len(tokens) // 2
        return TokenEpisodes(
            tokens=tokens.short(),
            actions=torch.eye(2).repeat(count, 1),
            rewards=torch.zeros(2 * count),
            done=torch.tensor([TRUNCATED, RUNNING], dtype=torch.uint8).repeat(count),
            starts=2 * torch.arange(count),
            lengths=torch.ones(count, dtype=torch.int64),
            has_final_frame=True,
        )
