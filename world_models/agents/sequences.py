"""Which sequence of actions is worth most: CEM and iCEM, by asking and telling."""

from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

import numpy as np
import torch

from world_models.envs.actions import LARGEST_RAW, ActionSpace
from world_models.runs.numbers import require_positive

MOMENTUM = 0.1
"""Of iCEM: the share of the old distribution in the new one."""
SHRINKAGE = 1.25
"""Of iCEM: each round asks for so many times fewer sequences than the one before."""
KEPT_ELITES = 0.3
"""Of iCEM: the share of the elites that stay candidates."""


class Method(Enum):
    """How sequences are searched.

    cem: the cross-entropy method (Rubinstein 1999), whose mean is played. icem: with coloured
    noise, elites that are kept, fewer candidates each round, and the mean as one of them; the
    best sequence is played (Pinneri et al. 2020).
    """

    cem = "cem"
    icem = "icem"


class Guess(Enum):
    """Which of the latents that M thinks possible a plan goes on with."""

    # the mean of the most probable component
    mode = "mode"
    # the mean of the whole mixture
    mean = "mean"


@dataclass
class PlanConfig:
    """Planning at each step: `rounds` of `candidates` sequences of `horizon` actions each.

    `noise` is, for Box actions, the standard deviation of raw numbers around the plan before; for
    Discrete ones, the share of uniform actions. With `from_controller` each step's search begins
    around what C would do in the dream.
    """

    method: Method | None = None  # null: no planning, C plays
    horizon: int = 12  # actions of a sequence
    candidates: int = 64  # sequences of the first round
    rounds: int = 3  # of asking and telling, at each step
    elites: int = 8  # best sequences, from which the next round is drawn
    noise: float = 0.5  # around the plan before, see above
    colour: float = 1.0  # of icem's noise: its power falls with frequency to this power
    discount: float = 1.0  # of a reward, for each step until it comes
    guess: Guess = Guess.mode  # which of the latents that M thinks possible it goes on with
    from_controller: bool = True  # begin around what C would do

    def __post_init__(self) -> None:
        require_positive("stage.plan", self, "horizon", "candidates", "rounds", "elites", "noise")
        if self.colour < 0:
            raise ValueError(f"stage.plan.colour is {self.colour}; it must be 0 or more")
        if not 0 < self.discount <= 1:
            raise ValueError(
                f"stage.plan.discount is {self.discount}; it must be above 0 and at most 1"
            )
        if not 2 <= self.elites <= self.candidates // 2:
            raise ValueError(
                f"stage.plan.elites is {self.elites}; it must be 2 or more, and at most half of "
                f"the {self.candidates} candidates"
            )

        moved = [item.name for item in fields(self) if getattr(self, item.name) != item.default]
        if self.method is None and moved:
            raise ValueError(
                f"stage.plan.{moved[0]} is of no use: nothing plans without stage.plan.method=icem "
                "(or cem)"
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        named = asdict(self).items()
        return {key: value.value if isinstance(value, Enum) else value for key, value in named}

    def asked(self, number: int) -> int:
        """Sequences in the round of this number, from 0."""
        if self.method is not Method.icem:
            return self.candidates
        return max(2 * self.elites, round(self.candidates * SHRINKAGE**-number))


class SequenceSearch:
    """One episode's search, at every step anew: `begin`, (`ask`, `tell`) each round, `choose`.

    A sequence is raw numbers (H, A) as `ActionSpace.from_raw` takes them: Gaussian where actions
    are a Box; where they are Discrete, one-hot rows of a categorical distribution for each step.
    """

    def __init__(self, cfg: PlanConfig, space: ActionSpace, generator: np.random.Generator) -> None:
        """`generator` is where this episode's noise comes from."""
        self.cfg, self.space, self.generator = cfg, space, generator
        shape = (cfg.horizon, space.size)
        self.discrete = space.kind == "discrete"
        self.icem = cfg.method is Method.icem
        self.filter = colouring(cfg.horizon, cfg.colour if self.icem else 0.0)
        # raw numbers, or the probabilities of actions
        self.mean = np.full(shape, 1 / space.size if self.discrete else 0.0)
        self.std = np.ones(shape)
        self.elites = np.zeros((0, *shape), np.float32)

    def begin(self, proposal: np.ndarray | None = None) -> None:
        """At a new step: around a proposal (H, A), or else around what is left of the last plan."""
        self.round, self.best, self.best_return = 0, self.mean, -np.inf
        self.given = self._kept()
        if proposal is not None:
            self.given = np.stack([proposal, self.mean, *self.given])
            self.mean = proposal.astype(np.float64)
        self.std = np.full_like(self.mean, self.cfg.noise)
        if self.discrete:
            share = min(self.cfg.noise, 1.0)
            self.mean = (1 - share) * self.mean + share / self.space.size

    def ask(self) -> np.ndarray:
        """Candidates (P, H, A) float32 of this round."""
        given = self.given
        if self.icem and self.round == self.cfg.rounds - 1:
            given = np.concatenate([self.mean[None], given])
        drawn = self._drawn(self.cfg.asked(self.round) - len(given))
        return self._playable(np.concatenate([given, drawn]))

    def tell(self, candidates: np.ndarray, returns: np.ndarray) -> None:
        """What the candidates (P, H, A) are worth (P,); NaN or infinity is a ValueError."""
        if not np.isfinite(returns).all():
            raise ValueError(
                "a plan is worth NaN or infinity: the weights of the world model are broken"
            )
        order = np.argsort(-returns, kind="stable")[: self.cfg.elites]
        self.elites = candidates[order]
        if returns[order[0]] > self.best_return:
            self.best, self.best_return = self.elites[0], returns[order[0]]
        old = MOMENTUM if self.icem else 0.0
        self.mean = old * self.mean + (1 - old) * self.elites.mean(0, dtype=np.float64)
        self.std = old * self.std + (1 - old) * self.elites.std(0, dtype=np.float64)
        self.given = self._kept()
        self.round += 1

    def choose(self) -> np.ndarray:
        """The environment action, (A,) or (), to play now; the rest of the plan moves up."""
        plan = self.best if self.icem else self.mean
        self.mean, self.elites = moved_up(self.mean), moved_up(self.elites)
        return self.space.from_raw(plan[:1].astype(np.float32))[0]

    def _kept(self) -> np.ndarray:
        """The elites (K, H, A) that stay candidates."""
        count = round(KEPT_ELITES * len(self.elites)) if self.icem else 0
        return self.elites[:count]

    def _drawn(self, count: int) -> np.ndarray:
        """New candidates (count, H, A)."""
        white = self.generator.standard_normal((count, self.space.size, self.cfg.horizon))
        noise = (white @ self.filter).transpose(0, 2, 1)
        if not self.discrete:
            return self.mean + self.std * noise
        with np.errstate(divide="ignore"):
            return np.log(self.mean) + gumbel(noise)

    def _playable(self, candidates: np.ndarray) -> np.ndarray:
        """Candidates (P, H, A) float32 in the form in which they are compared and averaged.

        A Box action stays where noise still moves it; of a Discrete one the largest number is 1.
        """
        if self.discrete:
            return self.space.to_model(self.space.from_raw(candidates))
        return candidates.clip(-LARGEST_RAW, LARGEST_RAW).astype(np.float32)


def moved_up(plans: np.ndarray) -> np.ndarray:
    """Plans (..., H, A) without their first step; the last one comes twice."""
    return np.concatenate([plans[..., 1:, :], plans[..., -1:, :]], axis=-2)


def gumbel(normal: np.ndarray) -> np.ndarray:
    """Gumbel noise of standard normal noise, number by number.

    The largest of log p + Gumbel noise is at k with probability p[k]; so noise that is alike at
    neighbouring steps gives actions that are alike there.
    """
    uniform = torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(normal))).numpy()
    return -np.log(-np.log(uniform))


def colouring(steps: int, exponent: float) -> np.ndarray:
    """The matrix (T, T) that gives white noise, rows (..., T), a spectrum of 1 / f**exponent.

    Every number keeps the variance 1. The mean of a sequence counts as its lowest frequency
    (Timmer & König 1995).
    """
    frequencies = np.maximum(np.fft.rfftfreq(steps), 1 / steps)
    scales = frequencies ** (-exponent / 2)
    matrix = np.fft.irfft(scales[:, None] * np.fft.rfft(np.eye(steps), axis=0), steps, axis=0)
    return matrix / np.sqrt((matrix**2).sum(0, keepdims=True))
