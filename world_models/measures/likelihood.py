"""How likely the next latent was to M.

Beside it stand three Gaussians fitted on the training pairs, and V's own uncertainty.
"""

import math
from dataclasses import dataclass

import numpy as np

from world_models.measures.bootstrap import Doubles, ratio, ratio_interval
from world_models.measures.episodes import Floats
from world_models.measures.rows import LikelihoodRow

LEAST_VARIANCE = 1e-12
"""Keeps logarithms finite where a latent is constant."""
RELATIVE_RIDGE = 1e-9
"""Ridge over the mean square of the inputs: one-hot actions and the constant are dependent."""


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


@dataclass(frozen=True)
class Baseline:
    """y ~ N(x @ weights, variance), x = [z_t, a_t, 1]."""

    name: str
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

    latents (F, L), actions (T, A), T >= F-1 -> inputs [z_t, a_t, 1] (F-1, L+A+1) and targets
    z_{t+1} (F-1, L).
    """
    count = len(latents) - 1
    x = np.concatenate(
        [latents[:-1], actions[:count], np.ones((count, 1))], axis=1, dtype=np.float64
    )
    return x, latents[1:].astype(np.float64)


def fit_baselines(moments: Moments) -> list[Baseline]:
    """The three baselines, each with the per-dimension variance of its residuals.

    This is maximum likelihood in closed form. last: the latent stays as it is. linear: least
    squares from [z_t, a_t, 1]. marginal: always the mean.
    """
    inputs, targets = moments.xy.shape
    mean = np.zeros((inputs, targets))
    mean[-1] = moments.xy[-1] / moments.count
    ridge = RELATIVE_RIDGE * np.trace(moments.xx) / inputs * np.eye(inputs)
    linear = np.linalg.solve(moments.xx + ridge, moments.xy)
    weights = {"last": np.eye(inputs, targets), "linear": linear, "marginal": mean}
    return [
        Baseline(name, chosen, _residual_variance(moments, chosen))
        for name, chosen in weights.items()
    ]


def _residual_variance(moments: Moments, weights: Doubles) -> Doubles:
    """Mean of (y - x @ weights)^2 per dimension, (L,), from the sums alone."""
    explained = (weights * (2 * moments.xy - moments.xx @ weights)).sum(0)
    return np.maximum((moments.yy - explained) / moments.count, LEAST_VARIANCE)


def posterior_nll(latents: Floats, mu: Floats, logsigma: Floats) -> Doubles:
    """Nats of latents under the posteriors of V that they were drawn from, (N, L) each -> (N,).

    Its mean is the posteriors' entropy: who does not see the target's frame cannot expect to do
    better. It is taken on the drawn latents, not in closed form, and so shares its noise with the
    models beside it.
    """
    scaled = (latents.astype(np.float64) - mu) / np.exp(logsigma.astype(np.float64))
    return (0.5 * np.square(scaled) + logsigma + 0.5 * math.log(2 * math.pi)).sum(1)


def likelihood_rows(
    nats: dict[str, Doubles], pairs: Doubles, latent_size: int, split: str
) -> list[LikelihoodRow]:
    """One row per model, from its nats and the pairs, each summed over each episode (E,).

    nats is the mean per pair, bits_per_dim = nats / (L ln 2). `worse` says how many bits per
    dimension more than "M" a model needs, with its 95 % interval over episodes. Above 0, M is the
    better one.
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
        )
        rows.append(row)
    return rows
