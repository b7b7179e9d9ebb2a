"""The one number by which a run is compared with others, and where it comes from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from world_models.report.pixel import ROLLOUTS, best_rollout, skill
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun

SKILL = "skill over the last frame"


@dataclass(frozen=True)
class Headline:
    """What was measured, the best value of it, which way is better, and the standard deviation over episodes."""

    name: str
    value: float
    larger_is_better: bool
    spread: float | None = None


def headline(run: Path) -> Headline | None:
    """The headline of a run folder, also of one that is not finished; None where there is no number yet.

    A pipeline's is that of its evaluation. A damaged file is a ValueError.
    """
    past = PastRun(run)
    stage = past.stage
    if past.parts:
        return (
            headline(run / "evaluate") if (run / "evaluate" / "manifest.json").is_file() else None
        )
    return SOURCES[stage](run) if stage in SOURCES else None


def _loss(run: Path, column: str = "loss") -> Headline | None:
    losses = _column(run / "val_metrics.csv", column)
    return Headline("validation loss", float(losses.min()), False) if losses.size else None


def selection_score(run: Path) -> Headline | None:
    """That of the agent: the best of the last round of finalists, where there was one, or of all that was tested."""
    rows = [
        (_number(row.get("generation")), _number(row.get("overall")))
        for row in read_csv(run / "finalists.csv")
    ]
    if decided := [row for row in rows if np.isfinite(row).all()]:
        last = max(generation for generation, _ in decided)
        return Headline(
            "selection score",
            max(score for generation, score in decided if generation == last),
            True,
        )
    tested = np.concatenate(
        [_column(run / "selection.csv", name) for name in ("mean", "candidate")]
    )
    return Headline("selection score", float(tested.max()), True) if tested.size else None


def _score(run: Path) -> Headline | None:
    if not (run / "scores.json").is_file():
        return None
    scores = read_json(run / "scores.json")
    if "horizons" in scores:  # of a pixel model
        return Headline(SKILL, skill(scores["horizons"]), True)
    return Headline("mean return", scores["mean"], True, scores["std"])


def _skill(run: Path) -> Headline | None:
    rows = best_rollout(read_csv(run / ROLLOUTS))
    return Headline(SKILL, skill(rows), True) if rows else None


def _collected(run: Path) -> Headline | None:
    returns = _column(run / "episodes.csv", "return")
    return (
        Headline("mean return", float(returns.mean()), True, float(returns.std()))
        if returns.size
        else None
    )


SOURCES: dict[str, Callable[[Path], Headline | None]] = {
    "rollout": _collected,
    "vae": _loss,
    "mdrnn": _loss,
    "controller": selection_score,
    "evaluate": _score,
    "pixel": _skill,
    "autoencoder": partial(_loss, column="val_loss"),
}


def _column(path: Path, name: str) -> np.ndarray:
    """The finite numbers of a CSV file's column; a row that was cut off is left out."""
    values = np.array([_number(row.get(name)) for row in read_csv(path)])
    return values[np.isfinite(values)]


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan
