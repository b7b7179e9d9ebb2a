"""How far the ranks of candidates can be trusted, and how many episodes that calls for."""

from collections.abc import Sequence

import numpy as np

WINDOW = 5
"""Generations over which reliability is averaged before the number of episodes grows."""
GROWTH = 1.5


def rank_reliability(returns: np.ndarray, heats: int = 1) -> float:
    """returns (P, n) of P candidates on n tracks -> how well their fitness ranks them, at most 1; NaN for n < 2.

    Spearman's rank correlation between the fitness over every second track, stepped up to all n tracks by the
    Spearman-Brown formula 2r / (1 + r). Ranks that are all noise give 0 on average. A missing return (NaN) counts as in `fitness`.
    """
    returns = _level(returns, heats)
    if returns.shape[1] < 2:
        return float("nan")
    halves = [_ranks(returns[:, first::2].mean(1)) for first in (0, 1)]
    if min(half.std() for half in halves) == 0:
        return float("nan")
    half = float(np.corrcoef(np.stack(halves))[0, 1])
    return 2 * half / (1 + half) if half > 0 else half


def _complete(returns: np.ndarray) -> np.ndarray:
    """A missing return (NaN) is that track's lowest, so that nobody gains by it; tracks that nobody played are left out."""
    played = returns[:, np.isfinite(returns).any(0)]
    return (
        np.where(np.isfinite(played), played, np.nanmin(played, axis=0)) if played.size else played
    )


def heat_of(candidates: int, heats: int) -> np.ndarray:
    """(candidates,) the heat that each plays in; as many in each, to one."""
    return np.arange(candidates) * heats // candidates


def _level(returns: np.ndarray, heats: int) -> np.ndarray:
    """returns (P, n) without gaps and, where there are several heats, with the same mean on all their tracks."""
    if heats == 1:
        return _complete(returns)
    level, heat = np.empty(returns.shape), heat_of(len(returns), heats)
    for rows in (heat == number for number in range(heats)):
        played = returns[rows]
        played = np.where(np.isfinite(played), played, np.fmin.reduce(played, axis=0))
        # 0 all over on a track that nobody played
        level[rows] = np.nan_to_num(played - played.mean(0))
    return level + np.nanmean(returns)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[inverse]


def fitness(returns: np.ndarray, heats: int = 1) -> np.ndarray:
    """returns (P, n) -> (P,) mean return of each candidate; one that is missing (NaN) counts as that track's lowest.

    Heats, each of which has n tracks of its own, are put level first: from each track its mean over the heat is taken off
    and the mean of all returns is added (a randomised block design), so that nobody gains by an easy track.
    """
    return _level(returns, heats).mean(1)


def next_samples(
    used: Sequence[int], reliability: Sequence[float], most: int, wanted: float, first: int
) -> int:
    """Episodes per candidate in the next generation, given those used so far (`first` at the start) and their reliability.

    Half as many again, `most` at the highest, once the mean reliability of the last five generations with the present
    number is below `wanted`.
    """
    now = used[-1] if used else first
    recent = [value for number, value in zip(used, reliability, strict=True) if number == now][
        -WINDOW:
    ]
    if (
        now >= most
        or len(recent) < WINDOW
        or np.isnan(recent).all()
        or np.nanmean(recent) >= wanted
    ):
        return now
    return min(most, int(np.ceil(GROWTH * now)))
