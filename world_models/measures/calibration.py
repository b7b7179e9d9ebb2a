"""Whether M's rewards and ends can be believed: predicted beside what followed, one step ahead."""

import math

import numpy as np
import numpy.typing as npt

from world_models.measures.bootstrap import Doubles
from world_models.measures.rows import CalibrationBin, HeadScore

PROBABILITY_EDGES = (0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
"""Between the bins of predicted probability: narrow near 0, since ends are rare."""
REWARD_BINS = 10
"""Bins of predicted reward, with equally many steps."""
NORMAL_QUANTILE = 1.959964
"""97.5 % of a standard normal distribution lie below."""

Bools = npt.NDArray[np.bool_]


def done_rows(probability: Doubles, ended: Bools) -> list[CalibrationBin]:
    """Reliability of the predicted ends, in bins of probability.

    probability and ended are (N,). A bin holds the mean predicted and the observed frequency. The
    interval is Wilson's (1927), 95 %. Empty bins are left out.
    """
    bins = np.clip(
        np.searchsorted(PROBABILITY_EDGES, probability, side="right"), 1, len(PROBABILITY_EDGES) - 1
    )
    return [
        _done_bin(int(index), probability[bins == index], ended[bins == index])
        for index in np.unique(bins)
    ]


def _done_bin(index: int, probability: Doubles, ended: Bools) -> CalibrationBin:
    """The steps (n,) whose probability is between the edges before and at `index`."""
    count = len(ended)
    observed = float(ended.mean())
    low, high = wilson(observed, count)
    return CalibrationBin(
        quantity="done",
        start=PROBABILITY_EDGES[index - 1],
        stop=PROBABILITY_EDGES[index],
        count=count,
        predicted=float(probability.mean()),
        observed=observed,
        low=low,
        high=high,
    )


def reward_rows(predicted: Doubles, rewards: Doubles) -> list[CalibrationBin]:
    """Predicted beside actual reward, both (N,), in bins of equally many steps.

    Steps are put in the order of their prediction. The interval is that of a mean of independent
    steps, 95 %.
    """
    inner = np.unique(np.quantile(predicted, np.linspace(0, 1, REWARD_BINS + 1)[1:-1]))
    bins = np.searchsorted(inner, predicted, side="right")
    return [
        _reward_bin(predicted[bins == index], rewards[bins == index]) for index in np.unique(bins)
    ]


def _reward_bin(predicted: Doubles, rewards: Doubles) -> CalibrationBin:
    """The steps (n,) of one bin."""
    count = len(rewards)
    observed = float(rewards.mean())
    half = NORMAL_QUANTILE * float(rewards.std()) / math.sqrt(count)
    return CalibrationBin(
        quantity="reward",
        start=float(predicted.min()),
        stop=float(predicted.max()),
        count=count,
        predicted=float(predicted.mean()),
        observed=observed,
        low=observed - half,
        high=observed + half,
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a probability of which `share` was seen in `count` trials (Wilson 1927)."""
    centre = share + NORMAL_QUANTILE**2 / (2 * count)
    widen = 1 + NORMAL_QUANTILE**2 / count
    half = NORMAL_QUANTILE * math.sqrt(
        share * (1 - share) / count + NORMAL_QUANTILE**2 / (4 * count**2)
    )
    return max(0.0, (centre - half) / widen), min(1.0, (centre + half) / widen)


def done_scores(probability: Doubles, ended: Bools, rate: float) -> list[HeadScore]:
    """Brier score and AUROC of the predicted ends, (N,), each beside a baseline.

    The Brier score stands beside that of always saying the training data's `rate`, the AUROC
    beside chance. Without both classes the AUROC is NaN.
    """
    brier, constant = (float(np.square(guess - ended).mean()) for guess in (probability, rate))
    return [
        _score("done_brier", brier, constant),
        _score("done_auroc", auroc(probability, ended), 0.5),
    ]


def reward_scores(predicted: Doubles, rewards: Doubles, mean: float) -> list[HeadScore]:
    """Squared error and R^2, each beside that of always saying the training data's mean.

    R^2 is NaN for constant rewards.
    """
    errors = [float(np.square(guess - rewards).mean()) for guess in (predicted, mean)]
    variance = float(rewards.var())
    explained = [1 - error / variance if variance else math.nan for error in errors]
    return [_score("reward_mse", *errors), _score("reward_r2", *explained)]


def _score(name: str, value: float, baseline: float) -> HeadScore:
    return HeadScore(name=name, value=value, baseline=baseline)


def log_line(scores: list[HeadScore]) -> str:
    """The scores in a line for people."""
    shown = ", ".join(f"{row.name} {row.value:.4f} ({row.baseline:.4f})" for row in scores)
    return f"reward and end of episode, beside always saying the training mean: {shown}"


def auroc(scores: Doubles, positive: Bools) -> float:
    """The probability that a random positive scores above a random negative.

    Ties count half (Mann & Whitney 1947). Without both classes it is NaN.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    wins = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))
