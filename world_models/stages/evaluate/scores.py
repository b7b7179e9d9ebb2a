"""What the agent, and the random policy beside it, came to: the content of scores.json."""

import logging
from dataclasses import asdict
from typing import Any

from world_models.agents.rollout import Score
from world_models.runs.provenance import versions
from world_models.runs.run import Run
from world_models.runs.statistics import summarize
from world_models.stages.evaluate.config import EvaluateConfig

log = logging.getLogger(__name__)


def score_table(cfg: EvaluateConfig, run: Run, played: list[Score]) -> dict[str, Any]:
    """The content of scores.json: the agent, without planning too where it plans, and random."""
    scores, random = played[: cfg.episodes], played[-cfg.random_episodes :]
    planned: dict[str, Any] = {}
    if cfg.plan.method is not None:
        alone = played[cfg.episodes : 2 * cfg.episodes]
        planned = {"plan": cfg.plan.to_dict(), "controller": described(alone)}
    table = {
        "env": run.env.id,
        "backend": run.backend.value,
        "which": cfg.which.value,
        "episodes": cfg.episodes,
        "seeds": [score.seed for score in scores],
        **described(scores),
        **planned,
        "random": described(random),
        "versions": versions(),
    }
    log.info(
        "mean return %.1f (95%% interval %.1f to %.1f), standard deviation over %d episodes %.1f; "
        "random policy on the first %d of them %.1f",
        table["mean"],
        *table["interval95"],
        cfg.episodes,
        table["std"],
        len(random),
        table["random"]["mean"],
    )
    return table


def described(scores: list[Score]) -> dict[str, Any]:
    """Returns, lengths and their summary."""
    returns = [score.total_return for score in scores]
    summary = asdict(summarize(returns))
    interval = [summary.pop("low"), summary.pop("high")]
    return {
        "returns": returns,
        "lengths": [score.length for score in scores],
        **summary,
        "interval95": interval,
    }
