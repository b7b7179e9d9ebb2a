"""What the report says of M: its training, the next z beside simple baselines, open loop, reward
and end."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREEN, GREY, INK, ORANGE, WIDE, Line
from world_models.figures.wording import number
from world_models.measures.rows import (
    OPEN_LOOP_SHOWN,
    PREDICTORS,
    EndRow,
    HeadScore,
    LikelihoodRow,
    MemoryRow,
    OpenLoopRow,
    RareMemoryRow,
)
from world_models.report import rare
from world_models.report.curves import line
from world_models.report.ends import ENDS, add_ends, end_findings
from world_models.report.headline import Headline
from world_models.report.heads import HEAD_CAPTIONS, add_calibration
from world_models.report.mdrnn_findings import (
    PREDICTED_BY,
    complete,
    described,
    memory_findings,
    strongest,
)
from world_models.report.page import Listing, Section
from world_models.report.training import fill_training, loss_headline
from world_models.report.verdict import Finding
from world_models.runs.metrics import read_rows
from world_models.runs.rows import captions

TITLE = "M · memory"
LEAD = "A recurrent network predicts the next z, so that it can dream on by itself."
# its z are those of the V upstream
IN_THE_LOSS = ("include_reward", "done_weight", "upstream")
LIKELIHOOD = "The next z, one step ahead"
LIKELIHOOD_HEADS = [
    "Predicted by",
    "Bits per dimension",
    "Nats per step",
    "More than M, bits (95 % interval)",
]
STYLES = dict(
    zip(
        PREDICTORS,
        [
            ("M, mean", BLUE),
            ("M, sample", ORANGE),
            ("last frame", GREY),
            ("mean frame", GREEN),
            ("V itself", INK),
        ],
        strict=True,
    )
)
OPEN_LOOP = (
    "Open loop, beside the last frame (below 1, M is better) and the mean of all training frames"
)
OPEN_LOOP_HEADS = [
    "Steps ahead",
    "Error of z ÷ last z's",
    "mean z's ÷ last z's",
    "Error of the picture ÷ last frame's",
    "PSNR, dB: M",
    "last frame",
    "mean frame",
    "V itself",
    "Starts (of pictures)",
]
OPEN_LOOP_NOTES = {
    "latent_mse": (
        "M reads its own predictions back, with the recorded actions. "
        "Samples carry the spread of V's z"
    ),
    "psnr": (
        "Beside the last true frame, the mean of all training frames, "
        "and V's picture of the true frame itself"
    ),
}
MEDIA = {
    "dream.mp4": "An episode beside M's dream of it, given the same actions",
    "temperatures.mp4": "The same stretch dreamt at three temperatures, with the same noise",
    "dream.png": "The dream from its first frame to its last",
    "temperatures.png": "The dreams at three temperatures",
}
CAPTIONS = (
    *captions(MemoryRow).values(),
    LIKELIHOOD,
    rare.RARE,
    OPEN_LOOP,
    *captions(OpenLoopRow).values(),
    *HEAD_CAPTIONS,
    ENDS,
    *MEDIA.values(),
)


def headline(folder: Path) -> Headline | None:
    """The least validation loss so far."""
    return loss_headline(folder, MemoryRow, "loss", IN_THE_LOSS)


def findings(folder: Path) -> list[Finding]:
    """M beside what it must beat."""
    found = memory_findings(
        read_rows(folder / "likelihood.csv", LikelihoodRow),
        read_rows(folder / "open_loop.csv", OpenLoopRow),
        read_rows(folder / "calibration_scores.csv", HeadScore),
    )
    rare_rows = read_rows(folder / "rare.csv", RareMemoryRow)
    ends = read_rows(folder / "ends.csv", EndRow)
    return [*found, *rare.memory_findings(rare_rows), *end_findings(ends)]


def fill(section: Section) -> None:
    """Headline, tables, plots, pictures and videos, as far as the files are there."""
    fill_training(section, MemoryRow)
    _add_likelihood(section)
    rare.add_rare(section, section.rows("rare.csv", RareMemoryRow), rare.BITS)
    _add_open_loop(section)
    add_calibration(section, "M")
    add_ends(section)
    for name, caption in MEDIA.items():
        is_film = name.endswith(".mp4")
        path = section.folder / ("videos" if is_film else "images") / name
        section.show(path, caption, section.videos if is_film else section.pictures)


def _add_likelihood(section: Section) -> None:
    rows = section.rows("likelihood.csv", LikelihoodRow)
    read = complete(rows)
    if not read:
        return
    found = {name: read[name] for name in PREDICTED_BY if name in read}
    rival = strongest(found)
    bits = {name: number(row.bits_per_dim) for name, row in found.items()}
    section.headline = (
        bits["M"],
        f"bits per dimension of the next z; best simple baseline {bits[rival]}",
    )
    if any(row.split == "train" for row in rows):
        section.notes.append(
            "There are no validation episodes: M was measured on the episodes it was trained on."
        )
    best = list(found).index("M" if found[rival].worse >= 0 else rival)
    cells = [
        [described(row), bits[name], number(row.nats), _difference(row)]
        for name, row in found.items()
    ]
    section.listings.append(Listing(LIKELIHOOD, LIKELIHOOD_HEADS, cells, best))


def _difference(row: LikelihoodRow) -> str:
    return "–" if row.worse == 0 else _with_interval(row.worse, row.low, row.high)


def _with_interval(value: float, low: float, high: float) -> str:
    return number(value) + (f" ({number(low)} to {number(high)})" if math.isfinite(low) else "")


def _add_open_loop(section: Section) -> None:
    rows = section.rows("open_loop.csv", OpenLoopRow)
    for column, note in OPEN_LOOP_NOTES.items():
        caption = captions(OpenLoopRow)[column]
        source = plots.curves(_curves(rows, column), "steps ahead", WIDE, caption)
        section.plot(source, caption, WIDE, note)
    found = {(row.predictor, row.horizon): row for row in rows}
    shown = [step for step in OPEN_LOOP_SHOWN if all((name, step) in found for name in PREDICTORS)]
    cells = [_open_loop_cells({name: found[name, step] for name in PREDICTORS}) for step in shown]
    if cells:
        section.listings.append(Listing(OPEN_LOOP, OPEN_LOOP_HEADS, cells))


def _curves(rows: Sequence[OpenLoopRow], column: str) -> list[Line]:
    """A curve per predictor, but for those without an error."""
    lines = []
    for predictor, style in STYLES.items():
        chosen = [row for row in rows if row.predictor == predictor]
        lines += line(*style, chosen, column, x="horizon", marked=True)
    return [one for one in lines if np.nan_to_num(one.y).any()]


def _open_loop_cells(rows: dict[str, OpenLoopRow]) -> list[str]:
    mean, usual = rows["mean"], rows["marginal"]
    quality = [number(rows[name].psnr) for name in ("mean", "copy", "marginal", "seen")]
    return [
        f"{mean.horizon}",
        _with_interval(mean.latent_ratio, mean.latent_low, mean.latent_high),
        _with_interval(usual.latent_ratio, usual.latent_low, usual.latent_high),
        _with_interval(mean.pixel_ratio, mean.pixel_low, mean.pixel_high),
        *quality,
        f"{mean.starts:,} ({mean.pixel_starts or mean.starts:,})",
    ]
