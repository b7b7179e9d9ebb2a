"""Plots of a sweep: the metric against one swept value, a series for every choice of the others."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from world_models.figures.plots import BLUE, INK, ORANGE, scale_y, tick
from world_models.report.sweep_table import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_SIZE = (920, 300)
COLOURS = (BLUE, ORANGE, "#3b8a5a", "#8a5fa8", "#b8433a", "#3a96a0", "#a8893a", "#7a8087")
MARKERS = "osD^vP*X"
LEFT_MARGIN = 70
SERIES_SPACING = 0.008  # of the axis, between series at the same value
MOST_TICKS = 12
LEGEND_ROW = 18


@dataclass(frozen=True)
class Series:
    """One line of a plot: its name and its groups, in the order of the x axis, with their places
    on it."""

    name: str
    places: np.ndarray
    groups: list[Group]


@dataclass(frozen=True)
class Chart:
    """The metric against `key`."""

    key: str
    metric: str
    values: list[str]  # of the key, as typed
    places: np.ndarray  # of the values on the x axis
    numeric: bool
    series: list[Series]

    @property
    def logarithmic(self) -> bool:
        """Whether the values are positive numbers that span a decade."""
        return self.numeric and bool(0 < 10 * self.places.min() <= self.places.max())

    @property
    def columns(self) -> int:
        """Names side by side in the legend."""
        longest = max(len(series.name) for series in self.series)
        # a marker and its margins, and a letter of some 7 pixels
        width = 52 + 7 * longest
        return max(1, (PLOT_SIZE[0] - LEFT_MARGIN) // width)

    @property
    def top(self) -> int:
        """Room above the axes, for the legend."""
        if len(self.series) < 2:
            return 10
        return 10 + LEGEND_ROW * math.ceil(len(self.series) / self.columns)


def charts(groups: list[Group]) -> list[Chart]:
    """One for every swept key but the seed; one with a single place where nothing else was
    swept."""
    keys = list(groups[0].values) if groups else []
    return [chart(groups, key) for key in keys] or ([chart(groups, "")] if groups else [])


def chart(groups: list[Group], key: str) -> Chart:
    """`key` may be empty: then all groups stand at one place."""
    values = list(dict.fromkeys(_value(group, key) for group in groups))
    numeric = len(values) > 1 and all(map(_is_number, values))
    if numeric:
        values.sort(key=float)
    places = np.array([float(value) for value in values] if numeric else range(len(values)), float)
    where = dict(zip(values, places, strict=True))
    series: dict[str, list[tuple[float, Group]]] = {}
    for group in groups:
        point = (where[_value(group, key)], group)
        series.setdefault(_others(group, key), []).append(point)
    drawn = [_series(name, points) for name, points in series.items()]
    return Chart(key, groups[0].metric, values, places, numeric, drawn)


def _value(group: Group, key: str) -> str:
    return group.values.get(key, "all seeds")


def _others(group: Group, key: str) -> str:
    """The values of the other swept keys, by which a series is named."""
    others = {name: value for name, value in group.values.items() if name != key}
    return ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in others.items())


def _series(name: str, points: list[tuple[float, Group]]) -> Series:
    points = sorted(points, key=lambda point: point[0])
    return Series(name, np.array([place for place, _ in points]), [group for _, group in points])


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def drawer(shown: Chart) -> Callable[["Axes"], None]:
    """What draws a chart: dots for jobs, a mark for their mean, a line for its 95 % interval."""

    def draw(axes: "Axes") -> None:
        limits = _set_x(axes, shown)
        for index, series in enumerate(shown.series):
            _draw_series(axes, series, index, shown, limits)
        scores = [
            score for series in shown.series for group in series.groups for score in group.scores
        ]
        scale_y(axes, np.array([min(scores), max(scores)]))
        axes.set_xlabel(shown.key)
        axes.set_ylabel(shown.metric)
        if len(shown.series) > 1:
            place: dict[str, Any] = {
                "loc": "lower left",
                "bbox_to_anchor": (-0.01, 1.0),
                "borderaxespad": 0.2,
            }
            axes.legend(**place, ncols=shown.columns, frameon=False, labelcolor=INK, fontsize=10.5)

    return draw


def _draw_series(
    axes: "Axes", series: Series, index: int, shown: Chart, limits: tuple[float, float]
) -> None:
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    aside = (index - (len(shown.series) - 1) / 2) * SERIES_SPACING
    places = _moved(series.places, aside, shown, limits)
    beside = _moved(series.places, aside - 0.4 * SERIES_SPACING, shown, limits)
    for place, dots, group in zip(places, beside, series.groups, strict=True):
        if len(group.scores) > 1:
            x = np.full(len(group.scores), dots)
            axes.plot(
                x, group.scores, "o", color=colour, alpha=0.5, markersize=4.5, markeredgewidth=0
            )
            axes.plot(
                [place, place], [group.summary.low, group.summary.high], color=colour, linewidth=2.2
            )
    axes.plot(
        places,
        [group.summary.mean for group in series.groups],
        marker,
        color=colour,
        label=series.name,
        linestyle="-",
        linewidth=1.2 if shown.numeric else 0.0,
        markersize=6.5,
    )


def _moved(
    places: np.ndarray, aside: float, shown: Chart, limits: tuple[float, float]
) -> np.ndarray:
    """Places on the x axis moved by a share of it."""
    low, high = limits
    return places * (high / low) ** aside if shown.logarithmic else places + (high - low) * aside


def _set_x(axes: "Axes", shown: Chart) -> tuple[float, float]:
    """Scale, limits and ticks of the x axis; returns the limits."""
    from matplotlib.ticker import NullLocator

    low, high = float(shown.places.min()), float(shown.places.max())
    if shown.logarithmic:
        axes.set_xscale("log")
        room = (high / low) ** 0.06
        low, high = low / room, high * room
    else:
        room = 0.06 * (high - low) if shown.numeric else 0.5
        low, high = low - room, high + room
    axes.set_xlim(low, high)
    every = math.ceil(len(shown.places) / MOST_TICKS)
    labels = [tick(float(value)) if shown.numeric else _short(value) for value in shown.values]
    axes.set_xticks(shown.places[::every], labels[::every])
    axes.xaxis.set_minor_locator(NullLocator())
    return low, high


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"…{label[-23:]}"
