"""Intervals over episodes.

The steps within an episode are not independent, so whole episodes are drawn again.
"""

import math

import numpy as np
import numpy.typing as npt

RESAMPLES = 2_000
"""Times that the episodes are drawn again."""
LEAST_EPISODES = 5
"""With fewer an interval would promise too much."""
DRAWS_AT_ONCE = 1_000_000
"""Most numbers of episodes held in memory at once."""

Doubles = npt.NDArray[np.float64]


def ratio(numerators: Doubles, denominators: Doubles) -> float:
    """Sum over sum; NaN where the denominators sum to 0."""
    below = float(denominators.sum())
    return float(numerators.sum()) / below if below else math.nan


def ratio_interval(numerators: Doubles, denominators: Doubles) -> tuple[float, float]:
    """95 % interval of sum(numerators) / sum(denominators), one entry each per episode.

    The percentile bootstrap (Efron 1979): 2,000 resamples of the episodes, fixed seed. Fewer than
    5 episodes give NaN.
    """
    count = len(numerators)
    if count < LEAST_EPISODES or not denominators.any():
        return math.nan, math.nan
    draw = np.random.default_rng(0)
    size = max(1, DRAWS_AT_ONCE // count)
    values = []
    for first in range(0, RESAMPLES, size):
        picks = draw.integers(0, count, (min(size, RESAMPLES - first), count))
        above = numerators[picks].sum(1)
        below = denominators[picks].sum(1)
        values.append(np.divide(above, below, out=np.full(len(picks), math.nan), where=below > 0))
    low, high = np.nanpercentile(np.concatenate(values), [2.5, 97.5])
    return float(low), float(high)
