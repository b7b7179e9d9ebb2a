"""Scores of several games as one number, with intervals over runs (Agarwal et al. 2021)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2_000
"""Times that the runs of each game are drawn again."""
TRIMMED = 0.25
"""Share of the runs that the interquartile mean leaves out at either end."""
TARGET = 1.0
"""The normalised score up to which the optimality gap counts."""

Floats = npt.NDArray[np.float64]
Games = Mapping[str, Floats]
"""Game -> the normalised scores of its runs (n,)."""
Statistic = Callable[[Sequence[Floats]], Floats]
"""Of the scores (R, n) of each game one number for each resample, (R,)."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; NaN at the ends where a single run tells of no spread."""

    value: float
    low: float
    high: float


def normalised(scores: Games, low: Games, high: Games) -> dict[str, Floats]:
    """(score - low) / (high - low) of each game, by the means of the runs of both."""
    return {
        game: (values - low[game].mean()) / (high[game].mean() - low[game].mean())
        for game, values in scores.items()
    }


def mean_of_games(games: Sequence[Floats]) -> Floats:
    """The mean over games of the mean over runs."""
    return _game_means(games).mean(1)


def median_of_games(games: Sequence[Floats]) -> Floats:
    """The median over games of the mean over runs."""
    return np.median(_game_means(games), axis=1)


def interquartile_mean(games: Sequence[Floats]) -> Floats:
    """The mean of the middle half of all runs of all games."""
    runs = np.sort(np.concatenate(games, axis=1), axis=1)
    cut = int(TRIMMED * runs.shape[1])
    return runs[:, cut : runs.shape[1] - cut].mean(1)


def optimality_gap(games: Sequence[Floats]) -> Floats:
    """How far runs stay below the target on average; what is above it does not make up for it."""
    return TARGET - np.minimum(np.concatenate(games, axis=1), TARGET).mean(1)


def _game_means(games: Sequence[Floats]) -> Floats:
    """(R, games)."""
    return np.stack([runs.mean(1) for runs in games], axis=1)


STATISTICS: dict[str, Statistic] = {
    "mean": mean_of_games,
    "median": median_of_games,
    "IQM": interquartile_mean,
    "optimality gap": optimality_gap,
}
"""By the names that a reader knows; only of the gap less is better."""


def estimate(statistic: Statistic, games: Games) -> Estimate:
    """The statistic of all runs, and its interval by the stratified bootstrap.

    The runs of each game are drawn again by themselves, with a fixed seed.
    """
    scores = list(games.values())
    value = float(statistic([runs[None] for runs in scores])[0])
    draw = np.random.default_rng(0)
    return _with_interval(value, statistic([_resampled(runs, draw) for runs in scores]), scores)


def probability_of_improvement(ours: Games, theirs: Games) -> Estimate:
    """How probably a run of ours beats a run of theirs in a game drawn at random.

    The mean over games of the Mann-Whitney U statistic / (n m); equal scores count one half.
    """
    pairs = [(runs, theirs[game]) for game, runs in ours.items()]
    value = float(np.mean([_wins(one[None], other[None])[0] for one, other in pairs]))
    draw = np.random.default_rng(0)
    drawn = [_wins(_resampled(one, draw), _resampled(other, draw)) for one, other in pairs]
    return _with_interval(value, np.mean(drawn, axis=0), [runs for pair in pairs for runs in pair])


def _wins(ours: Floats, theirs: Floats) -> Floats:
    """The share of pairs of runs that ours wins, (R,), of runs (R, n) and (R, m)."""
    pairs = ours.shape[1] * theirs.shape[1]
    return np.array(list(map(_won, ours, np.sort(theirs, axis=1)))) / (2 * pairs)


def _won(ours: Floats, theirs: Floats) -> int:
    """Twice the pairs that ours (n,) wins of sorted theirs (m,); equal ones count once."""
    below = np.searchsorted(theirs, ours, "left").sum()
    return int(below + np.searchsorted(theirs, ours, "right").sum())


def _resampled(runs: Floats, draw: np.random.Generator) -> Floats:
    """(RESAMPLES, n) of the runs (n,), drawn with replacement."""
    return runs[draw.integers(0, len(runs), (RESAMPLES, len(runs)))]


def _with_interval(value: float, drawn: Floats, scores: Sequence[Floats]) -> Estimate:
    """The percentile interval (Efron 1979), where any game has several runs."""
    if max(map(len, scores)) < 2:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def profile(games: Games, levels: Floats) -> Floats:
    """The share of runs above each level (L,), every game weighing the same."""
    return np.mean([(runs[:, None] > levels).mean(0) for runs in games.values()], axis=0)


def at_least_human(games: Games) -> int:
    """In how many games the mean over runs reaches the target."""
    return sum(float(runs.mean()) >= TARGET for runs in games.values())
