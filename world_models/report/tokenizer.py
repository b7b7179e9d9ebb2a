"""What the report says of a tokenizer: its pictures beside the baselines, its codes, its
training."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREEN, GREY, HALF, ORANGE, WIDE, Line
from world_models.figures.wording import number
from world_models.measures.codebook import COPY
from world_models.measures.rows import BaselineRow, StepRow
from world_models.measures.tokenizer_rows import TokenizerRow
from world_models.report.curves import line
from world_models.report.drawn_frames import DEEDS, decibels, level_line, psnr_facts
from world_models.report.headline import QUALITY_OF_PICTURES, Headline
from world_models.report.page import Section
from world_models.report.training import fill_training
from world_models.report.verdict import PSNR, Finding, Side, better
from world_models.runs.metrics import read_rows
from world_models.runs.results import Picture, TokenizerQuality, read_tokenizer_quality
from world_models.runs.rows import captions

TITLE = "Tokenizer"
LEAD = "Each frame becomes a small map of tokens, numbers of codes, and is drawn again from them."
ELSEWHERE = ("psnr", "psnr_moving", "exact", "used", "dead")
"""Columns of val_metrics.csv that are no terms of the loss."""
DRAWN = (
    ("psnr", WIDE, "PCA has as many numbers as a frame has tokens; copy is the frame before"),
    ("psnr_moving", HALF, "Those that differ from the frame before"),
)
BESIDE = {"PCA": "PCA of as many numbers", "mean image": "the mean image", COPY: "the frame before"}
LEVELS = {"PCA": ("PCA", ORANGE), "mean image": ("mean", GREY), COPY: ("copy", GREEN)}
"""What the level lines of baselines are called on a plot, and their colours."""
USAGE = "How often held-out frames use each code"
PICTURES = {
    "reconstructions": "Frames that were held out, what comes back of their tokens, and the error",
    "codes": "Codes that held-out frames use most, their share of all tokens, and where they stand",
}
CAPTIONS = (
    *captions(TokenizerRow).values(),
    captions(StepRow)["grad_norm"],
    USAGE,
    *PICTURES.values(),
)
EXACT_PSNR = 99.0
"""In dB: stands for the infinite one of frames that come back exactly."""
COLLAPSED = 1 / 8
"""Share of the codes: where fewer are used, most of a learned codebook is dead."""


def headline(folder: Path) -> Headline | None:
    """The PSNR of the best tokenizer so far: losses of different keys do not compare."""
    best = best_row(read_rows(folder / "val_metrics.csv", TokenizerRow))
    return None if best is None else Headline(QUALITY_OF_PICTURES, _drawn(best.psnr), True)


def best_row(rows: Sequence[TokenizerRow]) -> TokenizerRow | None:
    """The row of the least loss, the last of equal ones; None before the first whole one."""
    whole = [row for row in rows if math.isfinite(row.loss)]
    return min(reversed(whole), key=lambda row: row.loss, default=None)


def _drawn(psnr: float) -> float:
    return min(psnr, EXACT_PSNR)


def findings(folder: Path) -> list[Finding]:
    """The pictures of the best tokenizer beside those of the baselines, and its codes."""
    path = folder / "quality.json"
    return tokenizer_findings(read_tokenizer_quality(path)) if path.is_file() else []


def tokenizer_findings(quality: TokenizerQuality) -> list[Finding]:
    """Against the best of the baselines, in all pixels and in those that move; dead codes."""
    ours, *others = quality.pictures
    if ours.mse == 0:
        found = [Finding(True, "Every held-out frame comes back exactly.")]
    else:
        found = [
            one for deed, column in DEEDS.items() for one in _beside(ours, others, deed, column)
        ]
    return found + _codebook_findings(quality)


def _beside(ours: Picture, others: Sequence[Picture], deed: str, column: str) -> list[Finding]:
    known = [
        Side(BESIDE.get(row.name, row.name), getattr(row, column))
        for row in others
        if getattr(row, column) is not None
    ]
    mine = getattr(ours, column)
    if mine is None or not known:
        return []
    return better(Side("the tokenizer", mine), max(known, key=lambda one: one.value), deed, PSNR)


def _codebook_findings(quality: TokenizerQuality) -> list[Finding]:
    """Whether a codebook that is learned has collapsed; a book of patches cannot."""
    if quality.kind == "patch":
        return []
    good = quality.used > COLLAPSED * quality.vocabulary
    what = "" if good else ": most of its codes are dead"
    return [
        Finding(good, f"Held-out frames use {quality.used} of {quality.vocabulary} codes{what}.")
    ]


def fill(section: Section) -> None:
    """Facts, plots and pictures, as far as the files are there; what is seen comes first."""
    val = section.rows("val_metrics.csv", TokenizerRow)
    baselines = section.rows("baselines.csv", BaselineRow)
    for name, size, note in DRAWN:
        caption = captions(TokenizerRow)[name]
        lines = [*line("tokenizer", BLUE, val, name, marked=True), *_levels(val, baselines, name)]
        section.plot(plots.curves(lines, "step", size, caption), caption, size, note)
    _add_quality(section)
    fill_training(section, TokenizerRow, ELSEWHERE)
    _lead_with_psnr(section, val, baselines)
    for name, caption in PICTURES.items():
        section.show(section.folder / "images" / f"{name}.png", caption, section.pictures)


def _lead_with_psnr(
    section: Section, val: Sequence[TokenizerRow], baselines: Sequence[BaselineRow]
) -> None:
    best = best_row(val)
    if best is None:
        return
    beside = ", ".join(f"{row.name} {decibels(row.psnr)}" for row in baselines)
    if math.isinf(best.psnr):
        section.headline = ("exact", f"held-out frames come back without an error; {beside} dB")
    else:
        section.headline = (
            f"{decibels(best.psnr)} dB",
            f"PSNR of held-out frames; {beside}",
        )


def _levels(val: Sequence[TokenizerRow], baselines: Sequence[BaselineRow], name: str) -> list[Line]:
    """The baselines as level lines."""
    if not val:
        return []
    known = [row for row in baselines if row.name in LEVELS]
    return [level_line(LEVELS[row.name], val, row, name) for row in known]


def _add_quality(section: Section) -> None:
    """What quality.json says of the best tokenizer."""
    path = section.folder / "quality.json"
    if not path.is_file():
        return
    try:
        quality = read_tokenizer_quality(path)
    except ValueError as error:
        section.note(str(error))
        return
    section.facts += _facts(quality)
    usage = np.asarray(quality.usage, np.float64) / sum(quality.usage)
    note = f"Shares of all tokens; {quality.vocabulary - quality.used:,} codes are used nowhere"
    section.plot(plots.bars(usage, "codes in use, sorted", HALF, USAGE), USAGE, HALF, note)


def _facts(quality: TokenizerQuality) -> list[tuple[str, str]]:
    return [
        *psnr_facts(quality.pictures),
        ("Frames that come back exactly", f"{quality.exact:.0%}"),
        ("Tokens of a frame", f"{quality.tokens:,}"),
        ("Codes in use", f"{quality.used:,} of {quality.vocabulary:,}"),
        ("Perplexity of the codes", number(quality.perplexity)),
    ]
