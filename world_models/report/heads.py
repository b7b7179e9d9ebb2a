"""What the report says of heads for reward and end of episode: predicted beside what followed."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from world_models.figures.plots import BLUE, GREY, HALF, as_svg, drawable, round_ticks
from world_models.figures.wording import number
from world_models.measures.rows import HEAD_SCORES, QUANTITIES, CalibrationBin, HeadScore
from world_models.report.page import Listing, Section
from world_models.report.verdict import Finding, Scale, Side, better

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "done": ("predicted probability", "observed"),
    "reward": ("predicted reward", "actual"),
}
CALIBRATION_NOTE = (
    "One dot per bin of the prediction, with its 95 % interval; line: predicted equals observed"
)
# what each is judged by: the score that decides, what is done, what it measures
DECIDING = {
    "reward": ("reward_r2", "foretells the reward", Scale("R²")),
    "end": ("done_brier", "foretells ends", Scale("Brier score", larger_is_better=False)),
}
SCORES = "Reward and end of episode, one step ahead"
HEAD_CAPTIONS = (*QUANTITIES.values(), SCORES)


def add_calibration(section: Section, model: str) -> None:
    """Plots of predicted beside actual rewards and ends, and a table of scores."""
    bins = section.rows("calibration.csv", CalibrationBin)
    for quantity, caption in QUANTITIES.items():
        chosen = [row for row in bins if row.quantity == quantity]
        points = np.array([(row.predicted, row.observed, row.low, row.high) for row in chosen])
        points = points.reshape(-1, 4)
        happened = quantity == "reward" or points[:, 1].any()
        if happened:
            section.plot(
                _agreement(points, *AXES[quantity], caption), caption, HALF, CALIBRATION_NOTE
            )
    add_head_scores(section, section.rows("calibration_scores.csv", HeadScore), model)


def add_head_scores(section: Section, scores: Sequence[HeadScore], model: str) -> None:
    """A table of the scores of heads, by name."""
    rows = [
        [HEAD_SCORES[row.name], *_alike(row.value, row.baseline)]
        for row in scores
        if row.name in HEAD_SCORES
    ]
    if rows:
        heads = ["", model, "Always the training mean"]
        section.listings.append(Listing(SCORES, heads, rows))


def head_findings(scores: Sequence[HeadScore], model: str) -> list[Finding]:
    """Heads beside always saying the training mean; ends only where some were held out."""
    found = {row.name: row for row in scores}
    some_ended = "done_auroc" in found and math.isfinite(found["done_auroc"].value)
    findings = []
    for quantity, (name, deed, scale) in DECIDING.items():
        if name in found and (quantity == "reward" or some_ended):
            ours = Side(model, found[name].value)
            theirs = Side("always saying the training mean", found[name].baseline)
            findings += better(ours, theirs, deed, scale)
    return findings


def _alike(*values: float) -> list[str]:
    """Numbers with as many decimals as the largest needs."""
    scale = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return [number(value, scale) for value in values]


def _agreement(points: np.ndarray, xlabel: str, ylabel: str, title: str) -> Markup | None:
    """Points (N, 4) of predicted, observed and the ends of its interval, beside the diagonal; None
    without a finite one."""
    points = points[drawable(points).all(1)]
    if not len(points):
        return None
    predicted, observed, low, high = points.T

    def draw(axes: "Axes") -> None:
        span = [predicted.min(), predicted.max()]
        axes.plot(span, span, color=GREY, linewidth=1)
        axes.vlines(predicted, low, high, color=BLUE, alpha=0.5)
        axes.plot(predicted, observed, "o", color=BLUE, markersize=4.5)
        axes.yaxis.set_major_locator(round_ticks(4))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)

    return as_svg(draw, HALF, title)
