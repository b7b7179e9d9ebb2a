"""Candidates of a generation that dream: all episodes are rows of one batch, on tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from world_models.agents.control import require_finite
from world_models.agents.quarantine import Advance
from world_models.models.controller import act_many
from world_models.models.draws import Draws, RowDraws
from world_models.search.team import Played, ignore
from world_models.search.tracks import GenerationTracks
from world_models.worlds.dreaming import Dream, Outcome
from world_models.worlds.inference import padded
from world_models.worlds.world import select

ALIVE_SHARE = 0.75
"""Once fewer of a batch's rows are alive, the others are left out."""


class SharedDraws:
    """Noise that rows share: row i has that of rollout `rollouts[i]`, which is drawn once."""

    def __init__(self, draws: Draws, count: int, rollouts: Tensor) -> None:
        """`draws` are those of `count` rollouts; `rollouts` is int64 (B,)."""
        self.draws = draws
        self.count = count
        self.rollouts = rollouts

    def exponential(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return self.draws.exponential(self._once(like))[self.rollouts]

    def normal(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return self.draws.normal(self._once(like))[self.rollouts]

    def _once(self, like: Tensor) -> Tensor:
        return like.new_empty(self.count, *like.shape[1:])


@dataclass
class Batch:
    """Episodes that go on side by side, among them some that are over and gain nothing more."""

    # (B,) int64: which episode each row is
    numbers: Tensor
    # (B,) int64: of which rollout
    rollouts: Tensor
    # (B, parameters) float32: who acts in it
    vectors: Tensor
    # the world's: a NamedTuple of tensors (B, ...)
    state: Any
    # (B,) bool
    alive: Tensor

    def without_the_dead(self) -> "Batch":
        """The rows that are alive; some of them again, as dead ones, fill the width."""
        living = self.alive.nonzero().squeeze(1)
        width = torch.arange(padded(len(living)), device=living.device)
        rows = living[width % len(living)]
        return Batch(
            self.numbers[rows],
            self.rollouts[rows],
            self.vectors[rows],
            select(self.state, rows),
            width < len(living),
        )


@dataclass(frozen=True)
class Dreamers:
    """Candidates play in a dream: all of them from the same starts, with the same noise.

    What an episode comes to depends on its controller and on the seed of its rollout alone, bit
    for bit; on a GPU also on how many there are.
    """

    dream: Dream
    # of the controllers: see ControllerInputs
    hidden_units: int
    # is told the steps that were made
    advance: Advance = ignore

    def play_candidates(self, candidates: np.ndarray, tracks: GenerationTracks) -> Played:
        """Every candidate (P, parameters) in the rollouts of a generation."""
        return self.play(candidates, tracks.seeds)

    @torch.inference_mode()
    def play(self, vectors: np.ndarray, seeds: Sequence[int]) -> Played:
        """Every controller (P, parameters) in each rollout (n,) of these seeds.

        A controller's output, and a reward, that is NaN or infinite is a ValueError.
        """
        rollouts = torch.tensor(seeds, device=self.dream.world.device)
        batch = self._begin(vectors, rollouts)
        count = len(vectors) * len(seeds)
        returns = torch.zeros(count, dtype=torch.float64, device=rollouts.device)
        lengths = torch.zeros(count, dtype=torch.int64, device=rollouts.device)
        step = 0
        while living := int(batch.alive.sum()):
            if self._worth_compacting(batch, living):
                batch = batch.without_the_dead()
            gained = self._step(batch, rollouts, step)
            returns.index_add_(
                0, batch.numbers, torch.where(batch.alive, gained.rewards, 0).double()
            )
            lengths.index_add_(0, batch.numbers, batch.alive.long())
            batch.state = gained.state
            batch.alive &= ~(gained.ended | gained.late)
            self.advance(0, living)
            step += 1
        _require_numbers(returns, rollouts)
        shape = len(vectors), len(seeds)
        return Played(returns.view(shape).cpu().numpy(), lengths.view(shape).cpu().numpy(), True)

    def _begin(self, vectors: np.ndarray, rollouts: Tensor) -> Batch:
        """Episodes go candidate by candidate, as everywhere; the first ones fill the width."""
        count = len(vectors) * len(rollouts)
        width = torch.arange(padded(count), device=rollouts.device)
        numbers = width % count
        given = torch.from_numpy(np.asarray(vectors, np.float32)).to(rollouts.device)
        rows = numbers % len(rollouts)
        begun = select(self.dream.begin(rollouts), rows)
        return Batch(numbers, rows, given[numbers // len(rollouts)], begun, width < count)

    def _step(self, batch: Batch, rollouts: Tensor, step: int) -> Outcome:
        """One step of all rows."""
        space = self.dream.world.env.action_space
        seen = self.dream.world.observe(batch.state)
        raw = act_many(batch.vectors, seen, self.hidden_units).cpu().numpy()
        require_finite(raw)
        # by way of numpy, whose tanh has other last digits than torch's
        actions = torch.from_numpy(space.to_model(space.from_raw(raw))).to(rollouts.device)
        now = torch.full_like(rollouts, step)
        draws = SharedDraws(RowDraws(rollouts, now), len(rollouts), batch.rollouts)
        return self.dream.step(batch.state, actions, draws, now[batch.rollouts])

    def _worth_compacting(self, batch: Batch, living: int) -> bool:
        """Not on a GPU, where kernels change with the width."""
        wide = len(batch.alive)
        narrower = padded(living) < wide and living <= ALIVE_SHARE * wide
        return narrower and batch.alive.device.type != "cuda"


def _require_numbers(returns: Tensor, rollouts: Tensor) -> None:
    """A return (P * n,) that is NaN or infinite is a ValueError."""
    sound = returns.isfinite()
    if not sound.all():
        seed = int(rollouts[int(sound.long().argmin()) % len(rollouts)])
        raise ValueError(f"the dream of seed {seed} gave a reward that is NaN or infinite")
