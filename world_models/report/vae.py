"""What the report says of V: its training, its pictures beside the baselines, its latents."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, HALF, ORANGE, WIDE, Line
from world_models.figures.wording import number
from world_models.measures.rows import BaselineRow, BlobRow, RareVisionRow, VisionRow
from world_models.report import rare
from world_models.report.curves import line
from world_models.report.drawn_frames import DEEDS, decibels, level_line, psnr_facts
from world_models.report.headline import QUALITY_OF_PICTURES, Headline
from world_models.report.page import Listing, Section
from world_models.report.training import fill_training
from world_models.report.verdict import PSNR, Finding, Side, better
from world_models.runs.metrics import read_csv, read_rows
from world_models.runs.results import Quality, read_quality
from world_models.runs.rows import captions, rows_of

TITLE = "V · vision"
LEAD = (
    "A variational autoencoder squeezes each frame into a short vector z, "
    "and draws it again from z."
)
QUALITY = ("psnr", "psnr_moving", "active", "at_floor")
"""Columns of val_metrics.csv that are no terms of the loss."""
DRAWN = (
    ("psnr", WIDE, "V draws from the mean latent; PCA and mean are the training frames'"),
    ("psnr_moving", HALF, "Those that differ from the frame before"),
)
BESIDE = {True: "PCA of as many numbers", False: "the mean image"}
PER_LATENT = "KL per latent, nats"
RECONSTRUCTIONS = "Frames that were held out, what V draws from their z, and the error"
PICTURES = {
    "traversals": (
        "One latent moves, by standard deviations of its mean over the held-out frames; "
        "the others stay"
    ),
    "prior": "What V draws from a z that belongs to no frame",
}
BLOBS = "Bright things that move, in held-out frames"
BLOB_PICTURE = "Held-out frames, and what is drawn of them: green is there, pink is not"
CAPTIONS = (
    *captions(VisionRow).values(),
    PER_LATENT,
    RECONSTRUCTIONS,
    rare.RARE,
    *PICTURES.values(),
    BLOB_PICTURE,
)


def headline(folder: Path) -> Headline | None:
    """The PSNR of the best epoch: losses of different keys do not compare."""
    best = best_epoch(list(rows_of(VisionRow, read_csv(folder / "val_metrics.csv"))))
    return None if best is None else Headline(QUALITY_OF_PICTURES, best.psnr, True)


def best_epoch(rows: Sequence[VisionRow]) -> VisionRow | None:
    """The row of the least loss, whose weights were kept; None before the first whole one."""
    whole = [row for row in rows if math.isfinite(row.loss + row.psnr)]
    return min(whole, key=lambda row: row.loss, default=None)


def findings(folder: Path) -> list[Finding]:
    """The pictures of the best V beside those of the baselines, and of the V that it began as."""
    path = folder / "quality.json"
    found = vision_findings(_pictures(read_quality(path))) if path.is_file() else []
    rare_rows = read_rows(folder / "rare.csv", RareVisionRow)
    return [*found, *rare.vision_findings(rare_rows)]


def _pictures(quality: Quality) -> list[BaselineRow]:
    return list(rows_of(BaselineRow, [row.model_dump() for row in quality.pictures]))


def vision_findings(pictures: Sequence[BaselineRow]) -> list[Finding]:
    """V beside the best of the others, in all pixels and in those that move."""
    mine = [row for row in pictures if row.name == "V"]
    others = [row for row in pictures if row.name != "V"]
    if not mine or not others:
        return []
    found = []
    for deed, column in DEEDS.items():
        rivals = [Side(BESIDE[row.components > 0], getattr(row, column)) for row in others]
        known = [rival for rival in rivals if math.isfinite(rival.value)]
        if known:
            strongest = max(known, key=lambda rival: rival.value)
            found += better(Side("V", getattr(mine[0], column)), strongest, deed, PSNR)
    return found


def fill(section: Section) -> None:
    """Facts, plots and pictures, as far as the files are there; what is seen comes first."""
    val = section.rows("val_metrics.csv", VisionRow)
    baselines = section.rows("baselines.csv", BaselineRow)
    for name, size, note in DRAWN:
        caption = captions(VisionRow)[name]
        lines = [*line("V", BLUE, val, name, marked=True), *_levels(val, baselines, name)]
        section.plot(plots.curves(lines, "step", size, caption), caption, size, note)
    _add_quality(section)
    _add_blobs(section)
    fill_training(section, VisionRow, QUALITY)
    rare.add_rare(section, section.rows("rare.csv", RareVisionRow), PSNR)
    _lead_with_psnr(section, val, baselines)
    _show_reconstructions(section)
    for name, caption in PICTURES.items():
        section.show(section.folder / "images" / f"{name}.png", caption, section.pictures)


def _add_blobs(section: Section) -> None:
    """How many bright moving things V and PCA draw, by their sizes, and a picture of some."""
    rows = section.rows("blobs.csv", BlobRow)
    if not rows:
        return
    names = list(dict.fromkeys(row.name for row in rows))
    by_size: dict[str, list[BlobRow]] = {}
    for row in rows:
        by_size.setdefault(row.pixels, []).append(row)
    heads = [f"{name}: {what}" for name in names for what in ("drawn", "of what it draws, true")]
    lines = [
        [pixels, str(of_size[0].blobs), *(cell for row in of_size for cell in _shares(row))]
        for pixels, of_size in by_size.items()
    ]
    section.listings.append(Listing(BLOBS, ["pixels", "things", *heads], lines))
    section.show(section.folder / "images" / "blobs.png", BLOB_PICTURE, section.pictures)


def _shares(row: BlobRow) -> list[str]:
    """Recall and precision in per cent; a dash where there was nothing."""
    return [
        f"{value:.0%}" if math.isfinite(value) else "–" for value in (row.recall, row.precision)
    ]


def _lead_with_psnr(
    section: Section, val: Sequence[VisionRow], baselines: Sequence[BaselineRow]
) -> None:
    best = best_epoch(val)
    if best is not None:
        beside = [f"{row.name} {decibels(row.psnr)}" for row in baselines]
        what = "; ".join(["PSNR of held-out frames", *filter(None, [", ".join(beside)])])
        section.headline = (f"{decibels(best.psnr)} dB", what)


def _show_reconstructions(section: Section) -> None:
    """Those of the best V, or the latest; the others need not appear."""
    every = sorted(section.folder.glob("images/reconstructions_*.png"))
    of_the_best = section.folder / "images" / "reconstructions.png"
    latest = [path for path in [of_the_best, *reversed(every)] if path.is_file()]
    for path in latest[:1]:
        section.show(path, RECONSTRUCTIONS, section.pictures)
    section.shown.update(every)


def _levels(val: Sequence[VisionRow], baselines: Sequence[BaselineRow], name: str) -> list[Line]:
    """The baselines as level lines: PCA, and the mean image, which has no components."""
    if not val:
        return []
    styles = {True: ("PCA", ORANGE), False: ("mean image", GREY)}
    return [level_line(styles[row.components > 0], val, row, name) for row in baselines]


def _add_quality(section: Section) -> None:
    """What quality.json says of the best V."""
    path = section.folder / "quality.json"
    if not path.is_file():
        return
    try:
        quality = read_quality(path)
    except ValueError as error:
        section.note(str(error))
        return
    section.facts += _facts(quality)
    floor = quality.kl_tolerance
    note = (
        f"Means over the held-out frames; line: free bits, {number(floor)} nats"
        if floor > 0
        else ""
    )
    kl = np.asarray(quality.kl_per_latent)
    section.plot(plots.bars(kl, "latents, sorted", HALF, PER_LATENT, floor), PER_LATENT, HALF, note)


def _facts(quality: Quality) -> list[tuple[str, str]]:
    return [
        *psnr_facts(quality.pictures),
        ("Active latents", f"{quality.active} of {quality.latent_size}"),
        ("Latents at the floor", f"{quality.at_floor:.0%}"),
    ]
