"""Returns become fitness. How far its ranks can be trusted, and how many episodes that needs."""

from collections.abc import Sequence

import numpy as np

RELIABILITY_WINDOW = 5
"""Generations over which reliability is averaged before the number of episodes grows."""
SAMPLE_GROWTH = 1.5
"""By how much it grows."""


def fitness(returns: np.ndarray) -> np.ndarray:
    """returns (P, n) -> (P,) mean return of each candidate.

    A missing return (NaN) counts as its track's lowest.
    """
    return _complete(returns).mean(1)


def rank_reliability(returns: np.ndarray) -> float:
    """returns (P, n) of P candidates on n tracks -> how well their fitness ranks them, at most 1.

    Spearman's rank correlation r between the fitness over every second track, stepped up to all n
    tracks by the Spearman-Brown formula 2r / (1 + r). Ranks that are all noise give 0 on average.
    NaN for n < 2. A missing return (NaN) counts as in `fitness`.
    """
    returns = _complete(returns)
    if returns.shape[1] < 2:
        return float("nan")
    halves = [_ranks(returns[:, first::2].mean(1)) for first in (0, 1)]
    if min(half.std() for half in halves) == 0:
        return float("nan")
    half = float(np.corrcoef(np.stack(halves))[0, 1])
    return 2 * half / (1 + half) if half > 0 else half


def _complete(returns: np.ndarray) -> np.ndarray:
    """A missing return (NaN) is that track's lowest, so that nobody gains by it.

    Tracks that nobody played are left out.
    """
    played = returns[:, np.isfinite(returns).any(0)]
    if not played.size:
        return played
    return np.where(np.isfinite(played), played, np.nanmin(played, axis=0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[inverse]


def next_samples(
    used: Sequence[int], reliability: Sequence[float], most: int, wanted: float, first: int
) -> int:
    """Episodes per candidate in the next generation.

    `used` and `reliability` are those of the generations so far; the first one has `first`
    episodes. Once the mean reliability of the last five generations with the present number is
    below `wanted`, the number grows by half, to `most` at the highest.
    """
    now = used[-1] if used else first
    same = [value for number, value in zip(used, reliability, strict=True) if number == now]
    recent = same[-RELIABILITY_WINDOW:]
    if now >= most or len(recent) < RELIABILITY_WINDOW or np.isnan(recent).all():
        return now
    if np.nanmean(recent) >= wanted:
        return now
    return min(most, int(np.ceil(SAMPLE_GROWTH * now)))
