"""What the search says of itself: rows of its tables, and its plan."""

import logging

import numpy as np

from world_models.measures.search_rows import GenerationRow
from world_models.runs.metrics import MetricsLog
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.search.budget import Pace
from world_models.search.noise import fitness
from world_models.search.reference import published
from world_models.search.search import Search
from world_models.search.team import Played
from world_models.stages.controller.config import ControllerConfig, SearchedIn

log = logging.getLogger(__name__)


def write_reference(run: Run, search: Search, metrics: MetricsLog) -> None:
    """Write down where the published search stood, once, beside a search from the beginning."""
    if "reference" not in metrics.offsets and not search.evolution.ancestors:
        for row in published(run.env.id):
            metrics.write("reference", row)


def search_row(search: Search, played: Played) -> GenerationRow:
    """A row of metrics.csv: of the generation that was told last."""
    returns = fitness(played.returns)
    return GenerationRow(
        generation=search.generation,
        episodes=sum(search.samples) * len(returns),
        env_steps=search.env_steps,
        best=float(returns.max()),
        mean=float(returns.mean()),
        median=float(np.median(returns)),
        worst=float(returns.min()),
        std=float(returns.std()),
        sigma=search.evolution.sigma,
        length=played.mean_length,
        n_samples=search.samples[-1],
        reliability=search.reliability[-1],
    )


def timing_row(search: Search, steps: int, seconds: float, tested: float) -> TimingRow:
    """A row of timing.csv: a generation of so many steps, and the test after it, in seconds."""
    return TimingRow(
        generation=search.generation,
        seconds=round(seconds, 3),
        rate=round(steps / seconds, 1),
        test_seconds=round(tested, 3),
    )


def log_plan(cfg: ControllerConfig, run: Run, search: Search, rate: float, seconds: float) -> None:
    """Log what the budget comes to at the pace of one generation."""
    # a test's episodes over a generation's
    share = cfg.selection_episodes / (cfg.pop_size * search.samples[-1])
    pace = Pace(rate, seconds, 2 * share / cfg.test_interval)
    if cfg.world is SearchedIn.dream:
        # what real tests take is not known from a generation in a dream
        pace = Pace(rate, seconds, None)
    log.info("plan: %s", cfg.budget.plan(search, run.env.id, pace))
