"""Summary of a list of returns, as every score in the project is given."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """Mean, population standard deviation, median and the 95 % interval of the mean."""

    mean: float
    std: float
    median: float
    low: float
    high: float


def summarize(returns: Sequence[float]) -> Summary:
    """Summary of at least one return.

    The interval is the percentile bootstrap's (Efron 1979): 10,000 resamples, a fixed seed.
    """
    values = np.asarray(returns, float)
    assert values.ndim == 1 and values.size, values.shape
    picks = np.random.default_rng(0).integers(0, values.size, (RESAMPLES, values.size))
    low, high = np.percentile(values[picks].mean(1), [2.5, 97.5])
    return Summary(
        float(values.mean()), float(values.std()), float(np.median(values)), float(low), float(high)
    )
