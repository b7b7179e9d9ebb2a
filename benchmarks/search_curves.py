"""Draw searches beside the published one of Ha & Schmidhuber: score of the mean vector by episodes
and by hours.

    python -m benchmarks.search_curves curves.png "from zero:<run folder>" "by imitation:<another>"

Searches of one label share a colour.

Hours include the tests of the mean vector, as in the published log.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from world_models.runs.metrics import read_csv
from world_models.search.reference import published

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = ("#c8662a", "#2f6fb0", "#3a8f5c")
COSTS = {"episodes": "episodes played by candidates", "hours": "hours of search"}
"""What a search costs, and how its axis is named."""


def columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file of numbers."""
    rows = read_csv(path)
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def main() -> None:
    """Read the folders' CSVs and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("searches", nargs="+")
    options = parser.parse_args()
    searches = [text.partition(":")[::2] for text in options.searches]
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for panel, cost in zip(panels, COSTS, strict=True):
        draw_published(panel, cost)
        draw_searches(panel, cost, searches)
        set_axes(panel, cost)
    panels[0].set_ylabel("score of the mean vector")
    panels[0].set_ylim(780, 920)
    panels[1].legend(frameon=False, loc="lower right")
    figure.savefig(options.picture, dpi=120)


def draw_published(panel: Axes, cost: str) -> None:
    """The published log."""
    rows = published("CarRacing-v3")
    costs = [getattr(row, cost) for row in rows]
    scores = [row.mean_vector for row in rows]
    panel.plot(costs, scores, "o-", color="#8b9199", label="published, 64 cores")


def draw_searches(panel: Axes, cost: str, searches: list[tuple[str, str]]) -> None:
    """Each search's tests of its mean vector; only the first of a label is named."""
    colours = dict(zip(dict.fromkeys(label for label, _ in searches), COLOURS, strict=False))
    named = set[str]()
    for label, folder in searches:
        panel.plot(
            *tested(Path(folder), cost),
            "o-",
            color=colours[label],
            alpha=0.8,
            markersize=3.5,
            linewidth=1.1,
            label=None if label in named else f"2 cores, {label}",
        )
        named.add(label)


def tested(folder: Path, cost: str) -> tuple[np.ndarray, np.ndarray]:
    """What a search had cost at each test of its mean vector, and the scores there."""
    search = columns(folder / "metrics.csv")
    selection = columns(folder / "selection.csv")
    timing = columns(folder / "timing.csv")
    at = np.searchsorted(search["generation"], selection["generation"])
    costs = {
        "episodes": search["episodes"],
        "hours": np.cumsum(timing["seconds"] + timing["test_seconds"]) / 3600,
    }
    return costs[cost][at], selection["mean"]


def set_axes(panel: Axes, cost: str) -> None:
    """A logarithmic axis of costs, and lines behind the scores."""
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(COSTS[cost])
    panel.grid(axis="y", color="#e3e6ea")
    panel.spines[["top", "right", "left"]].set_visible(False)


if __name__ == "__main__":
    main()
