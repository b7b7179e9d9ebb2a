"""A world model over tokens, which foresees all tokens of the next frame at once.

After Cohen et al. 2024 (Improving token-based world models with parallel observation prediction).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from world_models.models.block_attention import BlockAttention
from world_models.models.pixel_heads import start_at_zero
from world_models.models.retention import Retention
from world_models.models.token_input import TokenInput
from world_models.models.token_rounds import require_rounds, turns_of
from world_models.models.token_stack import NORM_EPSILON, Sequence, TokenStack
from world_models.models.two_hot import Signs, TwoHot

NEAREST_BLOCKS, FARTHEST_BLOCKS = 0.5, 8.0
"""What the first and the last head of retention remember, about, in frames."""
PUBLISHED_NEAREST, PUBLISHED_FARTHEST = 32.0, 512.0
"""The same in tokens, as published for 65 tokens to a block."""

REWARD_BINS = 129
"""Odd, so that a reward of 0 is one bin, and not half of two."""

Choose = Callable[[Tensor], Tensor]
"""Draws tokens (B, n) from logits (B, n, V)."""


class TokenState(NamedTuple):
    """What the model has before it in B episodes."""

    # (B, L, ...): see `Retention.empty` and `BlockAttention.empty`
    memory: Tensor
    # (B,) int64: tokens that went into it
    seen: Tensor
    # (B, K) int64: the newest frame
    tokens: Tensor
    # (B, K) int64: the one before it; of a first frame, itself
    before: Tensor


class Foreseen(NamedTuple):
    """What follows T steps."""

    # (B, T, K, V) logits of the next frame's tokens
    tokens: Tensor
    # (B, T, R) logits: see `reward_code`
    reward: Tensor
    # (B, T) logits: above 0, an end is more likely than not
    done: Tensor


class TokenWorldModel(nn.Module):
    """Reads blocks, each the K tokens of a frame and an action; says what each step leads to.

    With `pop` the next frame's tokens come from prediction tokens, all at once; without, each from
    the token before it, one by one.
    """

    # in which round the token of each place is drawn, (K,) int64
    turns: Tensor
    order: Tensor

    def __init__(
        self,
        vocabulary: int,
        places: int,
        action_size: int,
        *,
        code_size: int = 0,
        width: int = 256,
        heads: int = 4,
        layers: int = 5,
        dropout: float = 0.1,
        sequence: str = "retention",
        blocks: int = 10,
        pop: bool = True,
        columns: int = 0,
        rounds: int = 1,
        parity: bool = False,
    ) -> None:
        """`places` is K. `code_size`: of the tokenizer's vectors that are read; 0: its own.

        `blocks`: frames that attention reads back. `columns`, of a frame: a token begins with what
        stood at its place before, too, and a prediction token with what stands at and around its
        place now and with what is done; 0: with themselves and with their place alone, as
        published. `rounds`: in how many the tokens of a frame are drawn, those of a round told what
        was drawn at and around their place before. `parity`: as published, where we do otherwise:
        code vectors go in as they are, without their place in the frame, nothing is normed behind
        the last layer, retention fades alike for any K, and of a reward only the sign is foreseen.
        """
        _require_columns(columns, places, pop)
        require_rounds(rounds, places, columns)
        super().__init__()
        self.config: dict[str, Any] = {
            "vocabulary": vocabulary,
            "places": places,
            "action_size": action_size,
            "code_size": code_size,
            "width": width,
            "heads": heads,
            "layers": layers,
            "dropout": dropout,
            "sequence": sequence,
            "blocks": blocks,
            "pop": pop,
            "parity": parity,
        }
        if columns:  # older models do not have the key
            self.config["columns"] = columns
        if rounds > 1:
            self.config["rounds"] = rounds
        self.places, self.block, self.pop = places, places + 1, pop
        self.columns, self.rounds = columns, rounds
        self._share_out()
        self._make_input()
        mixes = [self._mix(Sequence(sequence)) for _ in range(layers)]
        self.stack = TokenStack(mixes, width, dropout)
        self._make_output()

    def _share_out(self) -> None:
        """Share the places out among the rounds."""
        turns = turns_of(self.places, self.columns, self.rounds)
        self.register_buffer("turns", torch.tensor(turns), persistent=False)
        # places, those of the first round first, and how many there are in each
        order = sorted(range(self.places), key=turns.__getitem__)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.sizes = [turns.count(number) for number in range(self.rounds)]

    def _make_input(self) -> None:
        """What turns tokens, actions and places into vectors."""
        config = self.config
        width, parity = config["width"], config["parity"]
        self.read_tokens = TokenInput(
            config["vocabulary"], config["code_size"], width, as_they_are=parity
        )
        self.read_action = nn.Linear(config["action_size"], width, bias=False)
        nn.init.normal_(self.read_action.weight)
        self.ahead = nn.Parameter(torch.randn(self.places, width))
        # of a frame: so that what stands at a place finds what stood there
        self.place = None if parity else nn.Parameter(torch.randn(self.places, width))
        if self.columns:
            self.read_before = nn.Linear(width, width)
            self.look_around = nn.Conv2d(width, width, 3, padding=1)
        if self.rounds > 1:
            # without a bias: where nothing is drawn yet, nothing is told
            self.look_at_drawn = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def _make_output(self) -> None:
        """What turns the last layer's vectors into what is foreseen."""
        config = self.config
        width, parity = config["width"], config["parity"]
        self.norm = nn.Identity() if parity else nn.LayerNorm(width, eps=NORM_EPSILON)
        self.reward_code: TwoHot | Signs = Signs() if parity else TwoHot(REWARD_BINS)
        self.token_head = head(width, config["vocabulary"])
        self.reward_head = self._head_of_rewards(width, parity)
        self.done_head = head(width, 1)

    def _head_of_rewards(self, width: int, parity: bool) -> nn.Sequential:
        """It begins at 0, but for `parity`.

        Bins that no reward is near stay equal for ever, so those of thousands cancel out.
        """
        made = head(width, self.reward_code.bins)
        if not parity:
            last = made[-1]
            assert isinstance(last, nn.Linear), last
            start_at_zero(last)
        return made

    def _mix(self, sequence: Sequence) -> Retention | BlockAttention:
        config = self.config
        sizes = config["width"], config["heads"], config["dropout"]
        if sequence is Sequence.attention:
            return BlockAttention(*sizes, slots=max(1, config["blocks"] - 1) * self.block)
        if config["parity"]:
            return Retention(*sizes, PUBLISHED_NEAREST, PUBLISHED_FARTHEST)
        return Retention(*sizes, NEAREST_BLOCKS * self.block, FARTHEST_BLOCKS * self.block)

    def forward(self, tokens: Tensor, actions: Tensor, drawn: Tensor | None = None) -> Foreseen:
        """Frames (B, T+1, K) and the actions (B, T, A) between them -> what each step leads to.

        Teacher forcing, from an empty memory. `drawn` (B, T) int64: how many rounds of the frame
        that follows a step are drawn already; None: none. Then `pop` does not read the last frame.
        """
        rows = len(tokens)
        if self.pop:
            blocks = self._blocks(tokens[:, :1], tokens[:, :-1], actions)
            told = None if drawn is None else self._told(tokens[:, 1:], drawn)
            return self._foresee(blocks, self.stack.empty(rows), self._nothing(rows), told)[0]
        memory, seen = self._first_frame(tokens[:, :1])
        return self._follow(tokens[:, 1:], actions, memory, seen)[0]

    def begin(self, tokens: Tensor, actions: Tensor) -> TokenState:
        """Rows that have seen c frames (B, c, K) and the actions (B, c-1, A) between them."""
        rows = len(tokens)
        if self.pop:
            memory, seen = self.stack.empty(rows), self._nothing(rows)
            if actions.shape[1]:
                blocks = self._blocks(tokens[:, :1], tokens[:, :-1], actions)
                _, memory = self.stack(blocks, self.block, memory, seen)
                seen = seen + actions.shape[1] * self.block
        else:
            memory, seen = self._first_frame(tokens[:, :1])
            if actions.shape[1]:
                _, memory, seen = self._follow(tokens[:, 1:], actions, memory, seen)
        return TokenState(memory, seen, tokens[:, -1], tokens[:, -2:][:, 0])

    def step(
        self, state: TokenState, actions: Tensor, choose: Choose
    ) -> tuple[TokenState, Foreseen]:
        """One step of all rows with actions (B, A), and what was foreseen of it, T = 1."""
        if not self.pop:
            return self._spell(state, actions, choose)
        now = state.tokens
        blocks = self._blocks(state.before[:, None], now[:, None], actions[:, None])
        found, memory = self._foresee(blocks, state.memory, state.seen)
        if self.rounds == 1:
            after = choose(found.tokens[:, 0])
        else:
            after, found = self._in_rounds(blocks, state, memory, found, choose)
        return TokenState(memory, state.seen + self.block, after, now), found

    def _in_rounds(
        self, blocks: Tensor, state: TokenState, memory: Tensor, found: Foreseen, choose: Choose
    ) -> tuple[Tensor, Foreseen]:
        """The next frame (B, K), and of each token what was said in its round.

        `found` is of the first round, after which the memory is `memory`.
        """
        said = found.tokens[:, 0].clone()
        after = torch.zeros_like(state.tokens)
        for number, places in enumerate(self.order.split(self.sizes)):
            if number:
                told = self._told(after[:, None], after.new_full((len(after), 1), number))
                said[:, places] = self._once_more(blocks, state, memory, told)[:, places]
            after[:, places] = choose(said[:, places])
        return after, found._replace(tokens=said[:, None])

    def _once_more(self, blocks: Tensor, state: TokenState, memory: Tensor, told: Tensor) -> Tensor:
        """Logits (B, K, V) of the frame that follows, where `told` is added to prediction tokens.

        (B, 1, K, D); `memory` is that after the blocks.
        """
        if self.config["sequence"] == Sequence.attention.value:
            # the memory after this block has lost its oldest, which prediction tokens read
            return self._foresee(blocks, state.memory, state.seen, told)[0].tokens[:, 0]
        ahead = self._begun(blocks) + told
        x, _ = self.stack(ahead, 0, memory, state.seen + self.block)
        logits: Tensor = self.token_head(self.norm(x))[:, 0]
        return logits

    def to_be_drawn(self, drawn: Tensor) -> Tensor:
        """After so many rounds (...), which tokens are still to be drawn: (..., K) bool."""
        return self.turns >= drawn[..., None]

    def _nothing(self, rows: int) -> Tensor:
        return torch.zeros(rows, dtype=torch.int64, device=self.ahead.device)

    def _blocks(self, before: Tensor, tokens: Tensor, actions: Tensor) -> Tensor:
        """The blocks (B, T, P, D) of frames (B, T, K) and actions (B, T, A).

        `before` (B, 1, K) is the frame before the first.
        """
        read = self._read(tokens)
        if self.columns:
            earlier = torch.cat([self._read(before), read[:, :-1]], dim=1)
            read = read + self.read_before(earlier)
        return torch.cat([read, self.read_action(actions)[:, :, None]], dim=2)

    def _read(self, tokens: Tensor) -> Tensor:
        """Frames (..., K) -> (..., K, D)."""
        read = self.read_tokens(tokens)
        return read if self.place is None else read + self.place

    def _told(self, tokens: Tensor, drawn: Tensor) -> Tensor:
        """What prediction tokens are told, (B, T, K, D), of the frames (B, T, K) after each step.

        Only of the tokens of their first rounds, `drawn` (B, T).
        """
        known = self._read(tokens) * ~self.to_be_drawn(drawn)[..., None]
        return self._around(self.look_at_drawn, known)

    def _around(self, look: nn.Conv2d, frames: Tensor) -> Tensor:
        """What a convolution over the places says at each: (B, T, K, D) of the same."""
        maps = frames.flatten(0, 1).unflatten(1, (-1, self.columns)).permute(0, 3, 1, 2)
        found: Tensor = look(maps).permute(0, 2, 3, 1).reshape(frames.shape)
        return found

    def _foresee(
        self, blocks: Tensor, memory: Tensor, seen: Tensor, told: Tensor | None = None
    ) -> tuple[Foreseen, Tensor]:
        """What blocks (B, T, P, D) lead to, and the memory after them; `told`: see `_told`."""
        ahead = self._begun(blocks)
        if told is not None:
            ahead = ahead + told
        x, memory = self.stack(torch.cat([blocks, ahead], dim=2), self.block, memory, seen)
        said, at_action = self.norm(x[:, :, self.block :]), self.norm(x[:, :, self.places])
        return self._heads(said, at_action), memory

    def _begun(self, blocks: Tensor) -> Tensor:
        """The prediction tokens (B, T, K, D) behind blocks (B, T, P, D)."""
        rows, steps = blocks.shape[:2]
        ahead = self.ahead.to(blocks.dtype).expand(rows, steps, -1, -1)
        if not self.columns:
            return ahead
        now, done = blocks[:, :, : self.places], blocks[:, :, self.places :]
        return ahead + now + self._around(self.look_around, now) + done

    def _heads(self, said: Tensor, at_action: Tensor) -> Foreseen:
        done = self.done_head(at_action).squeeze(-1)
        return Foreseen(self.token_head(said), self.reward_head(at_action), done)

    def _first_frame(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The memory of rows that begin with a frame (B, 1, K)."""
        rows = len(tokens)
        x = self._read(tokens)
        _, memory = self.stack(x, self.places, self.stack.empty(rows), self._nothing(rows))
        return memory, self._nothing(rows) + self.places

    def _follow(
        self, tokens: Tensor, actions: Tensor, memory: Tensor, seen: Tensor
    ) -> tuple[Foreseen, Tensor, Tensor]:
        """T steps without prediction tokens, each an action (B, T, A) and then a frame (B, T, K).

        What comes out at a token foresees the one after it.
        """
        steps = torch.cat([self.read_action(actions)[:, :, None], self._read(tokens)], dim=2)
        x, memory = self.stack(steps, self.block, memory, seen)
        x = self.norm(x[:, :, : self.places])
        return self._heads(x, x[:, :, 0]), memory, seen + actions.shape[1] * self.block

    def _spell(
        self, state: TokenState, actions: Tensor, choose: Choose
    ) -> tuple[TokenState, Foreseen]:
        """One step, token by token."""
        memory, seen = state.memory, state.seen
        given = self.read_action(actions)
        tokens, said = [], []
        for place in range(self.places):
            x, memory = self.stack(given[:, None, None], 1, memory, seen)
            seen = seen + 1
            said.append(self.norm(x[:, :, 0]))
            tokens.append(choose(self.token_head(said[-1]))[:, 0])
            given = self.read_tokens(tokens[-1])
            if self.place is not None:
                given = given + self.place[place]
        _, memory = self.stack(given[:, None, None], 1, memory, seen)
        found = self._heads(torch.stack(said, dim=2), said[0])
        return TokenState(memory, seen + 1, torch.stack(tokens, dim=1), state.tokens), found


def head(width: int, size: int) -> nn.Sequential:
    """What is said from an output: (..., D) -> (..., size)."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size))


def _require_columns(columns: int, places: int, pop: bool) -> None:
    if columns and not (pop and columns > 0 and places % columns == 0):
        raise ValueError(f"{places} places, pop={pop}, cannot stand in {columns} columns")
