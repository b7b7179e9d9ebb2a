"""Summary of a list of returns, as every score in the project is given, and of a few seeds."""

import math
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


@dataclass(frozen=True)
class SeedSummary:
    """Mean and standard deviation (over n - 1) of a few seeds' scores, and how far they reach.

    From three seeds on that is Student's 95 % interval of the mean; of fewer it is their range.
    """

    mean: float
    std: float
    low: float
    high: float
    is_range: bool


def summarize_seeds(scores: Sequence[float]) -> SeedSummary:
    """Summary of at least one score; the deviation of a single one is NaN."""
    values = np.asarray(scores, float)
    assert values.ndim == 1 and values.size, values.shape
    mean = float(values.mean())
    std = float(values.std(ddof=1)) if values.size > 1 else math.nan
    if values.size < 3:
        return SeedSummary(mean, std, float(values.min()), float(values.max()), True)
    half = t_quantile(values.size - 1) * std / math.sqrt(values.size)
    return SeedSummary(mean, std, mean - half, mean + half, False)


def t_quantile(freedom: int) -> float:
    """The 97.5 % point of Student's t with so many degrees of freedom, found by bisection."""
    low, high = 0.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """P(|T| < t); Abramowitz & Stegun (1964), 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    term = total = 0.0
    odd = freedom % 2
    if freedom > 1:
        term = total = math.cos(angle) if odd else 1.0
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= (step - 1) / step * math.cos(angle) ** 2
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
