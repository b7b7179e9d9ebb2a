"""The best, the median and the worst episode, played again and filmed."""

import logging

import numpy as np

from world_models.agents.agent import Agent
from world_models.agents.rollout import Score
from world_models.agents.token_agent import TokenAgent
from world_models.figures.media import save_video, side_by_side
from world_models.pools.pool import Pool
from world_models.runs.progress import ProgressBar, tracked
from world_models.runs.run import Run
from world_models.search.fitness import film_episodes
from world_models.stages.evaluate.config import EvaluateConfig

log = logging.getLogger(__name__)

MOST_FILMED = 500
"""Frames of a video: of a longer episode only every second one is shown, and so on."""


def film(
    cfg: EvaluateConfig,
    run: Run,
    agent: Agent | TokenAgent,
    vector: np.ndarray,
    scores: list[Score],
    pool: Pool,
) -> None:
    """Play the best, the median and the worst episode again: what was seen, beside V's picture."""
    ranked = sorted(scores, key=lambda score: -score.total_return)
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    plan = None if cfg.plan.method is None else cfg.plan
    with ProgressBar("play again to film", len(chosen)) as bar:
        films = film_episodes(pool, vector, list(chosen.values()), bar.advance, plan)
    named = tracked("draw the films", zip(chosen.items(), films, strict=True), len(chosen), "films")
    for (name, score), film in named:
        if not np.isclose(film.total_return, score.total_return):
            log.warning(
                "the %s episode came to %.1f when it was filmed and to %.1f before",
                name,
                film.total_return,
                score.total_return,
            )
        seen = thinned_out(film.observations)
        panels = {
            f"{name}: return {film.total_return:.0f}": seen,
            agent.seen_by: agent.reconstruct(seen),
        }
        save_video(run.path / "videos" / f"{name}.mp4", side_by_side(panels), fps=30)


def thinned_out(frames: np.ndarray) -> np.ndarray:
    """Every frame, or every second one, and so on, of frames (T, H, W, C): MOST_FILMED at most."""
    return frames[:: -(-len(frames) // MOST_FILMED)]
