"""Scores of runs side by side: seeds taken together, and how probably one kind beats another."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from world_models.figures.plots import INK, WIDE, as_svg, drawable, name_rows, round_ticks, spread
from world_models.figures.wording import number
from world_models.measures.aggregates import (
    Estimate,
    Statistic,
    estimate,
    interquartile_mean,
    mean_of_games,
    probability_of_improvement,
)
from world_models.report.contrast import Group
from world_models.report.doubt import LEAST, doubt
from world_models.report.page import Listing, Section
from world_models.report.sweep_table import OTHER_TASK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOGETHER = "Seeds taken together"
IMPROVEMENT = "Probability of improvement"
ALONE_NOTE = "Each is a single run, so its episodes take the place of seeds: "
NOTE = (
    "IQM: the mean of the middle half. Intervals: 95 %, by the bootstrap over {unit}; "
    f"of fewer than {LEAST} there is none"
)
IMPROVEMENT_NOTE = "That a score of the row is better than one of the column"
PLOT_NOTE = "Dots: {unit}; bar: IQM with its 95 % interval; tick: mean"
ROW_HEIGHT = 44


def add_scores(
    section: Section,
    found: Sequence[Group],
    differing: Mapping[str, Sequence[str]],
    colours: Mapping[str, str],
) -> None:
    """Table, plot and probabilities of groups with one kind of score, in the `colours` of their
    letters."""
    unit, samples = samples_of(found)
    best = _best(found, samples, differing)
    if unit == "episodes":
        section.note(ALONE_NOTE + "how runs with other seeds would differ, it cannot say.")
    section.listings.append(_together(found, samples, unit, best))
    said = PLOT_NOTE.format(unit=unit)
    section.plot(_plot(found, samples, section.title, colours), section.title, note=said)
    section.note(NOTE.format(unit=unit) + ".")
    if best is None and len(found) > 1:
        section.note("Not ranked: the runs differ in a key that changes what the score means.")
    elif len(found) > 1:
        section.listings.append(_improvements(found, samples))
    if best is not None:
        section.headline = (
            number(float(np.mean(samples[best]))),
            f"best: {found[best].name}",
        )
        if unit == "seeds":
            _say_doubt(section, found, samples, best)


def _say_doubt(
    section: Section, found: Sequence[Group], samples: list[list[float]], best: int
) -> None:
    named = zip(found, samples, strict=True)
    others = {group.name: scores for group, scores in named if group is not found[best]}
    uncertain = doubt(samples[best], others)
    if uncertain:
        section.note(uncertain)


def samples_of(found: Sequence[Group]) -> tuple[str, list[list[float]]]:
    """What is taken together, and its scores for each group.

    Seeds; where every group is a single run that has played episodes, its episodes.
    """
    if all(len(group.members) == 1 and group.episodes for group in found):
        return "episodes", [group.episodes for group in found]
    return "seeds", [group.scores for group in found]


def _best(
    found: Sequence[Group], samples: list[list[float]], differing: Mapping[str, Sequence[str]]
) -> int | None:
    """The group with the best mean; None where the score of another means something else."""
    first = found[0].headline
    inside = {key for key in differing if key in OTHER_TASK}
    inside |= {key for key in differing if key.rpartition(".")[2] in first.contains}
    rows = [[group.members[0].config.get(key) for key in sorted(inside)] for group in found]
    if any(row != rows[0] for row in rows):
        return None
    sign = 1 if first.larger_is_better else -1
    return max(range(len(found)), key=lambda at: sign * float(np.mean(samples[at])))


def _together(
    found: Sequence[Group], samples: list[list[float]], unit: str, best: int | None
) -> Listing:
    columns = ["runs", unit, "mean", "95 % interval", "IQM", "95 % interval"]
    rows = [
        [group.name, f"{len(scores)}", *_cells(scores)]
        for group, scores in zip(found, samples, strict=True)
    ]
    return Listing(TOGETHER, columns, rows, best)


def _cells(scores: list[float]) -> list[str]:
    middle, inner = _of(mean_of_games, scores), _of(interquartile_mean, scores)
    return [number(middle.value), _between(middle), number(inner.value), _between(inner)]


def _of(statistic: Statistic, scores: Sequence[float]) -> Estimate:
    """A statistic of scores of one game; of too few of them without an interval."""
    found = estimate(statistic, {"": np.asarray(scores)})
    return found if len(scores) >= LEAST else Estimate(found.value, math.nan, math.nan)


def _between(found: Estimate) -> str:
    if not math.isfinite(found.low):
        return "–"
    return f"{number(found.low, found.value)} to {number(found.high, found.value)}"


def _improvements(found: Sequence[Group], samples: list[list[float]]) -> Listing:
    """How probably a score of the row is better than one of the column."""
    sign = 1 if found[0].headline.larger_is_better else -1
    signed = [[sign * value for value in scores] for scores in samples]
    rows = [
        [group.label, *(_chance(ours, theirs) if ours is not theirs else "–" for theirs in signed)]
        for group, ours in zip(found, signed, strict=True)
    ]
    caption = f"{IMPROVEMENT}: {IMPROVEMENT_NOTE[0].lower()}{IMPROVEMENT_NOTE[1:]}"
    return Listing(caption, ["", *(group.label for group in found)], rows)


def _chance(ours: list[float], theirs: list[float]) -> str:
    found = probability_of_improvement({"": np.asarray(ours)}, {"": np.asarray(theirs)})
    enough = min(len(ours), len(theirs)) >= LEAST
    interval = f" ({found.low:.0%} to {found.high:.0%})" if enough else ""
    return f"{found.value:.0%}{interval}"


def _plot(
    found: Sequence[Group], samples: list[list[float]], title: str, colours: Mapping[str, str]
) -> Markup | None:
    """A row for each group: its scores, IQM with interval, and mean."""
    if not any(drawable(scores).any() for scores in samples):
        return None

    def draw(axes: "Axes") -> None:
        for row, (group, scores) in enumerate(zip(found, samples, strict=True)):
            _draw_row(axes, row, np.asarray(scores), colours[group.members[0].label])
        name_rows(axes, [_short(group.label) for group in found], room=0.6)
        axes.xaxis.set_major_locator(round_ticks(8))
        axes.set_xlabel(found[0].headline.name)

    return as_svg(draw, (WIDE[0], 60 + ROW_HEIGHT * len(found)), f"scores: {title}", left=104)


def _draw_row(axes: "Axes", row: int, scores: np.ndarray, colour: str) -> None:
    heights = row + 0.3 * spread(scores.size)
    axes.plot(scores, heights, "o", color=colour, alpha=0.4, markersize=5.5, markeredgewidth=0)
    inner = _of(interquartile_mean, scores.tolist())
    if math.isfinite(inner.low):
        axes.plot([inner.low, inner.high], [row] * 2, color=colour, linewidth=3)
    axes.plot([inner.value], [row], "o", color=colour, markersize=7)
    axes.plot([scores.mean()], [row], "|", color=INK, markersize=15, markeredgewidth=1.6)


def _short(label: str) -> str:
    return label if len(label) <= 14 else f"{label[:12]} …"
