"""The page and the tables of several algorithms' scores."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from world_models.figures.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    WIDE,
    Line,
    as_svg,
    curves,
    name_rows,
)
from world_models.measures.aggregates import (
    STATISTICS,
    Estimate,
    Games,
    at_least_human,
    estimate,
    probability_of_improvement,
    profile,
)
from world_models.report.page import Listing, Section
from world_models.report.report import REPORT, Page, write_page
from world_models.runs.files import write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, ORANGE, GREEN, GREY)
LEVELS = np.linspace(0, 4, 81)
NOTE = (
    "Human-normalised; brackets and lines: 95 % intervals, runs drawn again within each game "
    "(Agarwal et al. 2021)"
)

Algorithms = Mapping[str, Games]


def listings(algorithms: Algorithms) -> list[Listing]:
    """Aggregates, chances to improve on each other, and the mean score of each game."""
    return [_aggregates(algorithms), _chances(algorithms), _games(algorithms)]


def _aggregates(algorithms: Algorithms) -> Listing:
    rows = []
    for name, games in algorithms.items():
        runs = sorted({len(scores) for scores in games.values()})
        counted = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
        found = [written(estimate(statistic, games)) for statistic in STATISTICS.values()]
        rows.append([name, counted, *found, f"{at_least_human(games)} of {len(games)}"])
    best = int(np.argmax([_iqm(games) for games in algorithms.values()]))
    columns = ["algorithm", "runs", *STATISTICS, "games at 1 or above"]
    return Listing("Over all games", columns, rows, best)


def _iqm(games: Games) -> float:
    return estimate(STATISTICS["IQM"], games).value


def _chances(algorithms: Algorithms) -> Listing:
    rows = [[name, *_chances_of(name, algorithms)] for name in algorithms]
    caption = "How probably a run of the row beats a run of the column"
    return Listing(caption, ["", *algorithms], rows)


def _chances_of(name: str, algorithms: Algorithms) -> list[str]:
    """How probably an algorithm beats each; nothing is said of itself."""
    cells = []
    for other, theirs in algorithms.items():
        if name == other:
            cells.append("")
        else:
            cells.append(written(probability_of_improvement(algorithms[name], theirs), 2))
    return cells


def _games(algorithms: Algorithms) -> Listing:
    games = list(next(iter(algorithms.values())))
    rows = [
        [game, *(f"{found[game].mean():.3f}" for found in algorithms.values())] for game in games
    ]
    return Listing("Mean over runs, game by game", ["game", *algorithms], rows)


def written(found: Estimate, decimals: int = 3) -> str:
    """A number with its interval."""
    value = f"{found.value:.{decimals}f}"
    if not np.isfinite(found.low):
        return value
    return f"{value} [{found.low:.{decimals}f}, {found.high:.{decimals}f}]"


def write_results(folder: Path, algorithms: Algorithms, tables: Sequence[Listing]) -> Path:
    """Write report.html and results.json of scores into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    section = Section("results", "Scores", NOTE + ".", folder, "finished", {})
    section.listings = list(tables)
    for name in STATISTICS:
        found = {each: estimate(STATISTICS[name], games) for each, games in algorithms.items()}
        title = f"{name[0].upper()}{name[1:]}"
        section.plot(intervals_plot(found, title), title)
    section.plot(_profiles(algorithms), "Share of runs above a score")
    write_json(folder / "results.json", as_numbers(algorithms))
    page = Page(
        title="Scores",
        experiment=None,
        kind=f"{len(algorithms)} algorithms",
        date="",
        status="finished",
        error=None,
        sections=[section],
        hero=None,
        film=None,
        seconds=0.0,
        lineage=[],
        facts=[],
        versions=[],
        configs=[],
    )
    return write_page(folder / REPORT, page)


def as_numbers(algorithms: Algorithms) -> dict[str, dict[str, list[float | None]]]:
    """Algorithm -> statistic -> value and the ends of its interval; null where there is none."""
    return {
        name: {
            each: [
                value if np.isfinite(value) else None
                for value in vars(estimate(statistic, games)).values()
            ]
            for each, statistic in STATISTICS.items()
        }
        for name, games in algorithms.items()
    }


def intervals_plot(found: dict[str, Estimate], title: str) -> Markup:
    """A row for each algorithm: its number, and its interval."""

    def draw(axes: "Axes") -> None:
        for row, one in enumerate(found.values()):
            colour = COLOURS[row % len(COLOURS)]
            if np.isfinite(one.low):
                axes.plot([one.low, one.high], [row, row], color=colour, linewidth=6, alpha=0.35)
            axes.plot([one.value], [row], "|", color=colour, markersize=16, markeredgewidth=2.5)
        name_rows(axes, list(found), room=0.6)

    left = 30 + 8 * max(map(len, found))
    return as_svg(draw, (WIDE[0], 60 + 30 * len(found)), title, left=left)


def _profiles(algorithms: Algorithms) -> Markup | None:
    colours = islice(cycle(COLOURS), len(algorithms))
    lines = [
        Line(name, colour, LEVELS, profile(games, LEVELS))
        for (name, games), colour in zip(algorithms.items(), colours, strict=True)
    ]
    return curves(lines, "human-normalised score", WIDE, "Share of runs above a score")
