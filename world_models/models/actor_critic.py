"""The actor-critic that acts on maps of codes: what it sees, remembers, does and expects."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from world_models.models.draws import Draws
from world_models.models.two_hot import TwoHot


class ActorState(NamedTuple):
    """What an actor-critic remembers; row b belongs to episode b."""

    # (B, H)
    h: Tensor
    # (B, H)
    c: Tensor


class Opinion(NamedTuple):
    """What an actor-critic thinks of what it sees, and its memory with it."""

    # (B, A)
    logits: Tensor
    # (B, bins), or (B, 1) where values are regressed
    value: Tensor
    state: ActorState


class Usual(nn.Module):
    """A running mean of maps of codes, which are read as differences from it."""

    # (D, gh, gw)
    mean: Tensor
    # how many batches it was told of
    batches: Tensor

    def __init__(self, shape: Sequence[int], decay: float = 0.99) -> None:
        """It keeps min(decay, n / (n+1)) of itself, n batches so far: at first all count alike."""
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(*shape))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, codes: Tensor) -> Tensor:
        """codes (B, D, gh, gw) -> the same shape."""
        return codes - self.mean

    @torch.no_grad()
    def take_in(self, codes: Tensor) -> None:
        """Take in a batch of maps (B, D, gh, gw)."""
        kept = (self.batches / (self.batches + 1)).clamp(max=self.decay)
        self.mean.lerp_(codes.mean(0), 1 - kept)
        self.batches += 1


class ActorCritic(nn.Module):
    """Two convolutions over a map of codes, an LSTM cell, a linear actor and a linear critic.

    Actor and critic share all before them. What was done is another step of the LSTM, if
    `action_inputs`: an agent whose actions are drawn cannot know them otherwise. `value_bins` 0:
    values are one number, as published, and else two-hot.

    `centred`: it reads how codes differ from what is usual at their place, and what the LSTM reads
    has mean 0 and deviation 1 (Ba et al. 2016). Without, as published, frames that share most of
    their codes look alike to the LSTM, and a policy leans to one action before it sees them apart.
    """

    def __init__(
        self,
        code_size: int,
        grid: Sequence[int],
        actions: int,
        *,
        channels: int = 128,
        hidden: int = 512,
        action_inputs: bool = True,
        value_bins: int = 128,
        centred: bool = False,
    ) -> None:
        """`grid`: rows and columns of a map.

        `channels` are those after the first convolution; the second has half of them.
        """
        super().__init__()
        self.config: dict[str, Any] = {
            "code_size": code_size,
            "grid": list(grid),
            "actions": actions,
            "channels": channels,
            "hidden": hidden,
            "action_inputs": action_inputs,
            "value_bins": value_bins,
            "centred": centred,
        }
        self.hidden = hidden
        self.usual = Usual((code_size, *grid)) if centred else None
        self.convs = self._convolutions()
        self.cell = nn.LSTMCell(hidden, hidden)
        self.done = nn.Linear(actions, hidden, bias=False) if action_inputs else None
        self.actor = nn.Linear(hidden, actions)
        self.critic = nn.Linear(hidden, value_bins or 1)
        self.two_hot = TwoHot(value_bins) if value_bins else None
        if self.two_hot is not None:
            nn.init.zeros_(self.critic.weight)
            with torch.no_grad():
                self.critic.bias.copy_(self.two_hot.near_nothing())

    def _convolutions(self) -> nn.Sequential:
        """From a map of codes (B, D, gh, gw) to what the LSTM reads (B, H)."""
        config = self.config
        channels, hidden = config["channels"], config["hidden"]
        rows, columns = config["grid"]
        half = max(1, channels // 2)
        return nn.Sequential(
            nn.Conv2d(config["code_size"], channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, half, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(half * rows * columns, hidden),
            *([nn.LayerNorm(hidden)] if config["centred"] else []),
            nn.SiLU(),
        )

    def begin(self, rows: int) -> ActorState:
        """The memory of `rows` episodes of which nothing was seen."""
        empty = self.actor.weight.new_zeros(rows, self.hidden)
        return ActorState(empty, empty)

    def get_used_to(self, codes: Tensor) -> None:
        """Take in what is usual: codes (B, D, gh, gw) of frames that were really seen."""
        if self.usual is not None:
            self.usual.take_in(codes)

    def features(self, codes: Tensor) -> Tensor:
        """codes (B, D, gh, gw) -> what the LSTM reads of them (B, H)."""
        found: Tensor = self.convs(codes if self.usual is None else self.usual(codes))
        return found

    def see(self, codes: Tensor, state: ActorState) -> Opinion:
        """One step: codes (B, D, gh, gw) of the newest frame."""
        state = ActorState(*self.cell(self.features(codes), state))
        return Opinion(self.actor(state.h), self.critic(state.h), state)

    def remember(self, actions: Tensor, state: ActorState) -> ActorState:
        """The memory after actions (B, A), as models read them, were done on what was seen."""
        if self.done is None:
            return state
        return ActorState(*self.cell(self.done(actions), state))

    def burn_in(self, codes: Tensor, actions: Tensor, valid: Tensor) -> ActorState:
        """The memory after T steps, which is that of seeing and doing them one by one.

        codes (B, T, D, gh, gw), actions (B, T, A); steps where `valid` (B, T) is False, the first
        ones of a row, did not happen.
        """
        seen = self.features(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        state = self.begin(len(codes))
        for t in range(codes.shape[1]):
            after = self.remember(actions[:, t], ActorState(*self.cell(seen[:, t], state)))
            happened = valid[:, t, None]
            state = ActorState(
                *(torch.where(happened, *pair) for pair in zip(after, state, strict=True))
            )
        return state

    def value_of(self, value: Tensor) -> Tensor:
        """The expected return (...) of what the critic says, (..., bins) or (..., 1)."""
        return value[..., 0] if self.two_hot is None else self.two_hot.decode(value)

    def value_error(self, value: Tensor, returns: Tensor) -> Tensor:
        """How wrong the critic's (..., bins) or (..., 1) is about returns (...).

        Two-hot: cross-entropy in nats. Otherwise the squared error.
        """
        if self.two_hot is None:
            return (value[..., 0] - returns).square()
        return self.two_hot.loss(value, returns)


def draw_actions(logits: Tensor, temperature: float, draws: Draws) -> Tensor:
    """Numbers (B,) of actions drawn from softmax(logits / temperature), logits (B, A).

    Gumbel-max: an exponential divided by a chance is the smallest with that chance. Temperature 0:
    the likeliest ones.
    """
    if temperature == 0:
        return logits.argmax(-1)
    noise = draws.exponential(logits)
    return (logits / temperature - noise.log()).argmax(-1)
