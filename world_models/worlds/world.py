"""What every trained model is that goes on by itself: rows of episodes, on tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from world_models.envs.spec import EnvSpec
from world_models.models.draws import Draws

State = TypeVar("State", bound=tuple[Tensor, ...])
"""A NamedTuple of tensors; row b of each of them, (B, ...), belongs to episode b."""


@dataclass(frozen=True)
class Advance(Generic[State]):
    """What one step came to; reward and done are None where the world predicts none."""

    state: State
    # (B,)
    reward: Tensor | None
    # (B,) logit: above 0, an end is more likely than not
    done: Tensor | None


class World(Protocol[State]):
    """A trained model in which rows of episodes go on side by side.

    How it chooses among what may follow is its own option: its temperature, or always the mean.
    Where the noise comes from is the caller's, in `draws`. A row depends on no row beside it.
    """

    @property
    def device(self) -> torch.device:
        """Where its states are."""

    @property
    def env(self) -> EnvSpec:
        """The environment that it stands for."""

    @property
    def num_starts(self) -> int:
        """How many stored places there are at which an episode may begin."""

    def begin(self, starts: np.ndarray, draws: Draws) -> State:
        """The state of B rows, at the stored places of these numbers (B,)."""

    def advance(self, state: State, actions: Tensor, draws: Draws) -> Advance[State]:
        """One step of all rows, with actions (B, A) as a model reads them.

        See `ActionSpace.to_model`.
        """

    def observe(self, state: State) -> Tensor:
        """What an agent reads (B, ...): features float32, or frames (B, H, W, C) uint8."""

    def picture(self, state: State) -> Tensor:
        """What a person sees: uint8 (B, H, W, 3)."""


def select(state: State, rows: Any) -> State:
    """The rows (n,) of a state (B, ...), in their order: for leaving out episodes that are over."""
    return cast(State, _like(state)(part[rows] for part in state))


def place(state: State, rows: Tensor, new: State) -> State:
    """The state (B, ...) with its rows (n,) replaced by those of `new` (n, ...)."""
    parts = zip(state, new, strict=True)
    return cast(State, _like(state)(part.index_copy(0, rows, fresh) for part, fresh in parts))


def joined(states: Sequence[State]) -> State:
    """The rows of at least one state, one state after the other."""
    parts = zip(*states, strict=True)
    return cast(State, _like(states[0])(torch.cat(part) for part in parts))


def _like(state: Any) -> Any:
    """What makes a NamedTuple of this one's kind out of its parts."""
    return state._make
