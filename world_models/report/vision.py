"""What the report says of V beyond its training: the quality of its pictures beside the baselines, and its latents."""

import math
from typing import Any

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, HALF, ORANGE, WIDE, Line, Table
from world_models.figures.wording import number
from world_models.report.page import Section
from world_models.runs.files import read_json

COLUMNS = ("psnr", "psnr_moving", "active", "at_floor")
"""Columns of val_metrics.csv that are shown here."""
PSNR = (
    (
        "psnr",
        WIDE,
        "PSNR of held-out frames, dB",
        "V draws from the mean latent; PCA and mean are the training frames'",
    ),
    (
        "psnr_moving",
        HALF,
        "PSNR of the pixels that move, dB",
        "Those that differ from the frame before",
    ),
)
PER_LATENT = "KL per latent, nats"
PICTURES = {
    "traversals": "One latent moves, by standard deviations of its mean over the held-out frames; the others stay",
    "prior": "What V draws from a z that belongs to no frame",
}


def fill_vision(section: Section) -> None:
    """Facts, plots and pictures, as far as the files are there."""
    val, baselines = section.table("val_metrics.csv"), section.table("baselines.csv")
    for name, size, caption, note in PSNR:
        lines = [*_ours(val, name), *_levels(val, baselines, name)]
        section.plot(plots.curves(lines, "step", size, caption), caption, size, note)
    _add_quality(section)
    every = sorted(section.folder.glob("images/reconstructions_*.png"))
    latest = [
        path
        for path in [section.folder / "images" / "reconstructions.png", *reversed(every)]
        if path.is_file()
    ]
    for path in latest[:1]:
        section.show(
            path,
            "Frames that were held out, what V draws from their z, and the error",
            section.pictures,
        )
    section.shown.update(every)
    for name, caption in PICTURES.items():
        section.show(section.folder / "images" / f"{name}.png", caption, section.pictures)


def _ours(val: Table, name: str) -> list[Line]:
    return (
        [Line("V", BLUE, val["step"], val[name], marked=True)] if {"step", name} <= set(val) else []
    )


def _levels(val: Table, baselines: Table, name: str) -> list[Line]:
    """The baselines as level lines: PCA, and the mean image, which has no components."""
    if not {"step", name} <= set(val) or not {"components", name} <= set(baselines):
        return []
    ends = np.array([0.0, np.fmax.reduce(val["step"], initial=0.0)])
    named = {True: ("PCA", ORANGE), False: ("mean image", GREY)}
    rows = zip(baselines["components"], baselines[name], strict=True)
    return [
        Line(*named[bool(components > 0)], ends, np.array([value, value]))
        for components, value in rows
    ]


def _add_quality(section: Section) -> None:
    """What quality.json says of the best V."""
    path = section.folder / "quality.json"
    if not path.is_file():
        return
    try:
        quality = read_json(path)
        facts = _facts(quality)
        kl, floor = np.asarray(quality["kl_per_latent"], float), float(quality["kl_tolerance"])
    except (ValueError, KeyError, TypeError):
        section.notes.append("quality.json is damaged.")
        return
    section.facts += facts
    note = (
        f"Means over the held-out frames; line: free bits, {number(floor)} nats"
        if floor > 0
        else ""
    )
    section.plot(plots.bars(kl, "latents, sorted", HALF, PER_LATENT, floor), PER_LATENT, HALF, note)


def _facts(quality: dict[str, Any]) -> list[tuple[str, str]]:
    ours, *others = quality["pictures"]
    facts = []
    for key, label in (("psnr", "PSNR"), ("psnr_moving", "PSNR of what moves")):
        beside = ", ".join(f"{row['name']} {_number(row[key])}" for row in others)
        facts.append((label, f"{_number(ours[key])} dB ({beside})"))
    facts.append(("Active latents", f"{quality['active']} of {quality['latent_size']}"))
    facts.append(("Latents at the floor", f"{quality['at_floor']:.0%}"))
    return facts


def _number(value: float | None) -> str:
    return number(math.nan if value is None else value, scale=10)
