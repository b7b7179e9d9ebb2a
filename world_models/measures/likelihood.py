"""How likely the next latent was to M.

Beside it stand four Gaussians fitted on the training pairs, and V's own uncertainty.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from world_models.measures.bootstrap import Doubles, ratio, ratio_interval
from world_models.measures.episodes import Floats
from world_models.measures.rows import LikelihoodRow

LEAST_VARIANCE = 1e-12
"""Keeps logarithms finite where a latent is constant."""
RELATIVE_RIDGE = 1e-9
"""Ridge over the mean square of the inputs: one-hot actions and the constant are dependent."""
LAGS = (1, 2, 4, 8)
"""Frames that a linear regression may read; with more than one it has a memory, as M has."""
MOST_LAGS = LAGS[-1]


class Moments:
    """Sums over pairs (x, y), in float64.

    They are all that the baselines need, whatever the number of pairs.
    """

    def __init__(self, inputs: int, targets: int) -> None:
        self.count = 0
        self.xx = np.zeros((inputs, inputs))
        self.xy = np.zeros((inputs, targets))
        self.yy = np.zeros(targets)

    def add(self, x: Doubles, y: Doubles) -> None:
        """x (N, D), y (N, L)."""
        self.count += len(x)
        self.xx += x.T @ x
        self.xy += x.T @ y
        self.yy += np.square(y).sum(0)

    def __add__(self, other: "Moments") -> "Moments":
        both = Moments(*self.xy.shape)
        both.count = self.count + other.count
        both.xx = self.xx + other.xx
        both.xy = self.xy + other.xy
        both.yy = self.yy + other.yy
        return both

    def squares(self, weights: Doubles) -> Doubles:
        """Mean of (y - x @ weights)^2 per dimension, (L,), from the sums alone."""
        explained = (weights * (2 * self.xy - self.xx @ weights)).sum(0)
        return np.maximum((self.yy - explained) / self.count, LEAST_VARIANCE)


@dataclass(frozen=True)
class Baseline:
    """y ~ N(x @ weights, variance), x as `pairs_of` gives it."""

    name: str
    # that it reads
    frames: int
    # (D, L)
    weights: Doubles
    # (L,)
    variance: Doubles

    def nll(self, x: Doubles, y: Doubles) -> Doubles:
        """Nats of each target: x (N, D), y (N, L) -> (N,)."""
        squares = np.square(y - x @ self.weights) / self.variance
        return 0.5 * (squares + np.log(2 * np.pi * self.variance)).sum(1)


def pairs_of(latents: Floats, actions: Floats) -> tuple[Doubles, Doubles]:
    """What the baselines read and what they predict, of one episode.

    latents (F, L), actions (T, A), T >= F-1 -> inputs (F-1, D) and targets z_{t+1} (F-1, L).
    Inputs are [z_t, a_t, z_{t-1}, a_{t-1}, ..., 1], MOST_LAGS frames; before an episode's first
    frame stands that frame again, with an action of zeros.
    """
    count = len(latents) - 1
    seen = np.concatenate([latents[:count], actions[:count]], axis=1, dtype=np.float64)
    before = np.concatenate([latents[0], np.zeros(actions.shape[1])])
    padded = np.concatenate([np.tile(before, (MOST_LAGS - 1, 1)), seen])
    lagged = [padded[MOST_LAGS - 1 - lag :][:count] for lag in range(MOST_LAGS)]
    return np.concatenate([*lagged, np.ones((count, 1))], axis=1), latents[1:].astype(np.float64)


def num_inputs(latent_size: int, action_size: int) -> int:
    """D of `pairs_of`."""
    return MOST_LAGS * (latent_size + action_size) + 1


def fit_baselines(fit: Moments, check: Moments) -> list[Baseline]:
    """The baselines, each with the per-dimension variance of its residuals.

    This is maximum likelihood in closed form, on the training pairs of `fit` and `check` together.
    last: the latent stays as it is. linear: least squares from [z_t, a_t, 1]. lags: the same from
    several frames. marginal: always the mean. How many frames `lags` reads is decided within the
    training pairs: those that predict `check` best after a fit to `fit`.
    """
    moments = fit + check
    inputs, targets = moments.xy.shape
    mean = np.zeros((inputs, targets))
    mean[-1] = moments.xy[-1] / moments.count
    frames = best_lags(fit, check)
    weights = {
        "last": (1, np.eye(inputs, targets)),
        "linear": (1, _regression(moments, 1)),
        "lags": (frames, _regression(moments, frames)),
        "marginal": (0, mean),
    }
    return [
        Baseline(name, read, chosen, moments.squares(chosen))
        for name, (read, chosen) in weights.items()
    ]


def best_lags(fit: Moments, check: Moments) -> int:
    """The number of frames with which a regression on `fit` makes `check` likeliest.

    Where one of them is empty, 1.
    """
    if not fit.count or not check.count:
        return 1

    def nll(lags: int) -> float:
        weights = _regression(fit, lags)
        variance = fit.squares(weights)
        return float((check.squares(weights) / variance + np.log(variance)).sum())

    return min(LAGS, key=nll)


def _regression(moments: Moments, lags: int) -> Doubles:
    """Least squares (D, L) from the newest `lags` frames and the constant; zeros for the rest."""
    inputs, targets = moments.xy.shape
    read = [*range(lags * (inputs - 1) // MOST_LAGS), inputs - 1]
    xx = moments.xx[np.ix_(read, read)]
    ridge = RELATIVE_RIDGE * np.trace(xx) / len(read) * np.eye(len(read))
    weights = np.zeros((inputs, targets))
    weights[read] = np.linalg.solve(xx + ridge, moments.xy[read])
    return weights


def posterior_nll(latents: Floats, mu: Floats, logsigma: Floats) -> Doubles:
    """Nats of latents under the posteriors of V that they were drawn from, (N, L) each -> (N,).

    Its mean is the posteriors' entropy: who does not see the target's frame cannot expect to do
    better. It is taken on the drawn latents, not in closed form, and so shares its noise with the
    models beside it.
    """
    scaled = (latents.astype(np.float64) - mu) / np.exp(logsigma.astype(np.float64))
    return (0.5 * np.square(scaled) + logsigma + 0.5 * math.log(2 * math.pi)).sum(1)


def likelihood_rows(
    nats: dict[str, Doubles],
    pairs: Doubles,
    latent_size: int,
    split: str,
    frames: Mapping[str, int],
) -> list[LikelihoodRow]:
    """One row per model, from its nats and the pairs, each summed over each episode (E,).

    nats is the mean per pair, bits_per_dim = nats / (L ln 2). `worse` says how many bits per
    dimension more than "M" a model needs, with its 95 % interval over episodes. Above 0, M is the
    better one. `frames` says how many the baselines read.
    """
    scale = latent_size * math.log(2)
    rows = []
    for name, sums in nats.items():
        mean = ratio(sums, pairs)
        difference = (sums - nats["M"]) / scale
        low, high = ratio_interval(difference, pairs)
        row = LikelihoodRow(
            name=name,
            nats=mean,
            bits_per_dim=mean / scale,
            worse=ratio(difference, pairs),
            low=low,
            high=high,
            pairs=int(pairs.sum()),
            episodes=len(pairs),
            split=split,
            frames=frames.get(name, 0),
        )
        rows.append(row)
    return rows
