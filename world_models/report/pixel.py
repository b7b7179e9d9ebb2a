"""What the report says of a next-frame model: errors beside guesses that need no model, its heads,
its training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from world_models.figures import plots
from world_models.figures.plots import BLUE, HALF, ORANGE, WIDE, Table
from world_models.measures.horizons import best_rollout, skill
from world_models.measures.rows import HeadScore, HorizonRow, PixelRow, PixelStepRow
from world_models.report.curves import line, table_line
from world_models.report.headline import SKILL, Headline
from world_models.report.heads import SCORES, add_head_scores, head_findings
from world_models.report.next_frames import (
    ERROR_CAPTIONS,
    FILM,
    add_errors,
    error_findings,
    show_latest,
)
from world_models.report.page import Section
from world_models.report.training import finite_cells
from world_models.report.verdict import Finding
from world_models.runs.metrics import read_rows
from world_models.runs.rows import captions

TITLE = "Next frame"
LEAD = "A model of pixels predicts the next frame from the last ones and what was done."
HEADS_A_CHAIN = True
ROLLOUTS = "val_rollout_metrics.csv"
HEADS = "val_head_scores.csv"
STRIP = "Held-out windows: what was seen, what came, what the model predicted"
CAPTIONS = (*ERROR_CAPTIONS, *captions(PixelStepRow).values(), SCORES, STRIP, FILM)


def headline(folder: Path) -> Headline | None:
    """The skill of the best validation."""
    rows = best_rollout(read_rows(folder / ROLLOUTS, HorizonRow))
    return Headline(SKILL, skill(rows), True) if rows else None


def findings(folder: Path) -> list[Finding]:
    """The best validation beside guesses, and the heads of that checkpoint."""
    best = best_rollout(read_rows(folder / ROLLOUTS, HorizonRow))
    heads = _of_the_best(read_rows(folder / HEADS, HeadScore), best)
    return [*error_findings(best), *head_findings(heads, "the model")]


def fill(section: Section) -> None:
    """Headline, table, plots, the latest strip and video, as far as the files are there."""
    rollouts = section.rows(ROLLOUTS, HorizonRow)
    add_errors(section, rollouts)
    _add_heads(section, best_rollout(rollouts))
    add_losses(section, section.table("metrics.csv"), section.rows("val_metrics.csv", PixelRow))
    show_latest(section, "images", "val_step_*.png", STRIP)
    show_latest(section, "videos", "val_rollout_step_*.mp4", FILM)
    section.shown.update(section.folder.glob("images/train_step_*.png"))


def _add_heads(section: Section, best: list[HorizonRow]) -> None:
    """The scores of the heads in the validation of the checkpoint that was kept."""
    scores = section.rows(HEADS, HeadScore)
    add_head_scores(section, _of_the_best(scores, best), "Model")


def _of_the_best(scores: Sequence[HeadScore], best: list[HorizonRow]) -> list[HeadScore]:
    return [row for row in scores if best and row.step == best[0].step]


def add_losses(section: Section, train: Table, val: Sequence[Any]) -> None:
    """The loss in training and validation, and the norm of its gradient; `val` has val_loss by
    step."""
    words = captions(PixelStepRow)
    if (steps := finite_cells(train, "step")).size:
        section.facts.append(("Training steps", f"{steps.max():,.0f}"))
    lines = [
        *table_line("training", BLUE, train, "loss"),
        *line("validation", ORANGE, val, "val_loss", marked=True),
    ]
    section.plot(plots.curves(lines, "step", WIDE, words["loss"]), words["loss"], WIDE)
    for name in ("unroll", "grad_norm"):
        curve = table_line(name, BLUE, train, name)
        section.plot(plots.curves(curve, "step", HALF, words[name]), words[name], HALF)
