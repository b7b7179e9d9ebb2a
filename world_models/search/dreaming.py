"""Candidates of a generation that dream: all episodes are rows of one batch, on tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from world_models.agents.control import require_finite
from world_models.agents.quarantine import Advance
from world_models.models.controller import act_many
from world_models.models.draws import RowDraws
from world_models.search.team import Played, ignore
from world_models.search.tracks import GenerationTracks
from world_models.worlds.dreaming import Dream, Outcome
from world_models.worlds.inference import padded
from world_models.worlds.world import select

ALIVE_SHARE = 0.75
"""Once fewer of a batch's rows are alive, the others are left out."""
STEPS_AHEAD = 32
"""So many steps' noise is drawn at once: a step's own takes longer to ask for than to make."""

Kind = Callable[[RowDraws, Tensor], Tensor]
"""A method of RowDraws."""


class Noise:
    """The noise of rollouts, whoever plays them: drawn once, and for some steps ahead at a time.

    To the bit it is that of `RowDraws` with the seed of the rollout and the step. A world asks for
    the same kinds of noise in each step.
    """

    def __init__(self, seeds: Tensor) -> None:
        """`seeds`, int64 (n,), of the rollouts."""
        self.seeds = seeds

    def at(self, step: int, rollouts: Tensor) -> "StepNoise":
        """The noise of a step, for rows of these rollouts, int64 (B,); steps go up from 0."""
        if step % STEPS_AHEAD == 0:
            ahead = torch.arange(step, step + STEPS_AHEAD, device=self.seeds.device)
            count = len(self.seeds)
            self._draws = RowDraws(self.seeds.repeat(STEPS_AHEAD), ahead.repeat_interleave(count))
            self._drawn: list[tuple[Kind, Tensor]] = []
        return StepNoise(self, step % STEPS_AHEAD, rollouts)

    def drawn(self, call: int, kind: Kind, like: Tensor) -> Tensor:
        """What the calls of that number in a step draw: (steps ahead, rollouts, ...)."""
        if call == len(self._drawn):
            shape = (STEPS_AHEAD, len(self.seeds), *like.shape[1:])
            numbers = kind(self._draws, like.new_empty(shape).flatten(0, 1))
            self._drawn.append((kind, numbers.view(shape)))
        was, numbers = self._drawn[call]
        assert was is kind and numbers.shape[2:] == like.shape[1:], (call, kind, like.shape)
        return numbers


class StepNoise:
    """The draws of one step: row i has those of its rollout."""

    def __init__(self, noise: Noise, ahead: int, rollouts: Tensor) -> None:
        self._noise = noise
        self._ahead = ahead
        self._rollouts = rollouts
        self._calls = 0

    def exponential(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return self._next(RowDraws.exponential, like)

    def normal(self, like: Tensor) -> Tensor:
        """See `Draws`."""
        return self._next(RowDraws.normal, like)

    def _next(self, kind: Kind, like: Tensor) -> Tensor:
        numbers = self._noise.drawn(self._calls, kind, like)
        self._calls += 1
        return numbers[self._ahead].index_select(0, self._rollouts)


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
        batch, noise = self._begin(vectors, rollouts), Noise(rollouts)
        count = len(vectors) * len(seeds)
        returns = torch.zeros(count, dtype=torch.float64, device=rollouts.device)
        lengths = torch.zeros(count, dtype=torch.int64, device=rollouts.device)
        step = 0
        while living := int(batch.alive.sum()):
            if self._worth_compacting(batch, living):
                batch = batch.without_the_dead()
            gained = self._step(batch, noise, step)
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

    def _step(self, batch: Batch, noise: Noise, step: int) -> Outcome:
        """One step of all rows."""
        space = self.dream.world.env.action_space
        seen = self.dream.world.observe(batch.state)
        raw = act_many(batch.vectors, seen, self.hidden_units).cpu().numpy()
        require_finite(raw)
        # by way of numpy, whose tanh has other last digits than torch's
        actions = torch.from_numpy(space.to_model(space.from_raw(raw))).to(seen.device)
        draws = noise.at(step, batch.rollouts)
        return self.dream.step(batch.state, actions, draws, torch.full_like(batch.numbers, step))

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
