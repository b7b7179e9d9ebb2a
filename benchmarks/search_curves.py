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
from matplotlib.ticker import FuncFormatter, NullFormatter

from world_models.measures.search_rows import PublishedRow
from world_models.runs.metrics import read_csv
from world_models.runs.rows import columns as columns_of
from world_models.search.reference import published

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = ("#c8662a", "#2f6fb0", "#3a8f5c")


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
    searches = [
        (label, Path(folder))
        for label, _, folder in (text.partition(":") for text in options.searches)
    ]
    colours = dict(zip(dict.fromkeys(label for label, _ in searches), COLOURS, strict=False))
    rows = published("CarRacing-v3")
    theirs = {name: [getattr(row, name) for row in rows] for name in columns_of(PublishedRow)}
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for panel, name in zip(panels, ("episodes", "hours"), strict=True):
        panel.plot(
            theirs[name], theirs["mean_vector"], "o-", color="#8b9199", label="published, 64 cores"
        )
        for index, (label, folder) in enumerate(searches):
            search, selection = (
                columns(folder / f"{file}.csv") for file in ("metrics", "selection")
            )
            timing = columns(folder / "timing.csv")
            at = np.searchsorted(search["generation"], selection["generation"])
            cost = {
                "episodes": search["episodes"][at],
                "hours": np.cumsum(timing["seconds"] + timing["test_seconds"])[at] / 3600,
            }[name]
            first = label not in [earlier for earlier, _ in searches[:index]]
            named = f"2 cores, {label}" if first else None
            panel.plot(
                cost,
                selection["mean"],
                "o-",
                color=colours[label],
                alpha=0.8,
                markersize=3.5,
                linewidth=1.1,
                label=named,
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(
            {"episodes": "episodes played by candidates", "hours": "hours of search"}[name]
        )
        panel.grid(axis="y", color="#e3e6ea")
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_ylabel("score of the mean vector")
    panels[0].set_ylim(780, 920)
    panels[1].legend(frameon=False, loc="lower right")
    figure.savefig(options.picture, dpi=120)


if __name__ == "__main__":
    main()
