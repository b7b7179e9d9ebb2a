"""What a person sees first of new episodes: a table, a line of log, a picture."""

import logging
from pathlib import Path

import numpy as np

from world_models.data.store import EpisodeStore
from world_models.data.tables import EpisodeLine
from world_models.figures.media import labelled_rows, save_png
from world_models.runs.metrics import MetricsLog, Value
from world_models.runs.numbers import evenly_spaced
from world_models.runs.run import Run

log = logging.getLogger(__name__)


def write_overview(
    store: EpisodeStore, run: Run, metrics: MetricsLog, timing: dict[str, Value]
) -> None:
    """Write timing.csv, episodes.csv and images/frames.png of the run that made `store`."""
    metrics.write("timing", timing)
    env = store.env
    for row in store.rows:
        line = EpisodeLine(
            episode=row.index,
            seed=row.seed,
            split=row.split,
            length=row.length,
            total_return=row.total_return,
            level=env.level_of(row.seed) if env.has_levels else None,
        )
        metrics.write("episodes", line)
    returns = [row.total_return for row in store.rows]
    steps = sum(row.length for row in store.rows)
    log.info(
        "%d episodes, %d steps, mean return %.1f, in %s",
        len(returns),
        steps,
        np.mean(returns),
        run.name,
    )
    _save_picture(store, run.path / "images" / "frames.png")


def _save_picture(store: EpisodeStore, path: Path) -> None:
    rows = {}
    for row in store.rows[store.newest :][:4]:
        frames = store.episode(row).frames
        rows[f"episode {row.index}"] = frames[evenly_spaced(row.length, 8, rounded=False)]
    save_png(path, labelled_rows(rows))
