"""What the pages of V and of tokenizers say alike: how well held-out frames are drawn again."""

import math
from collections.abc import Sequence

import numpy as np

from world_models.figures.plots import Line
from world_models.figures.wording import number
from world_models.measures.rows import BaselineRow
from world_models.report.curves import finite
from world_models.runs.results import Picture

DEEDS = {"draws held-out frames": "psnr", "draws what moves in them": "psnr_moving"}
"""What is done -> the column that says how well."""
FACTS = {"psnr": "PSNR", "psnr_moving": "PSNR of what moves"}


def decibels(value: float | None) -> str:
    """A PSNR as the page writes it; a dash where there is none."""
    return number(math.nan if value is None else value, scale=10)


def psnr_facts(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    """The PSNR of the first pictures, with those of the others in brackets."""
    ours, *others = pictures
    facts = []
    for column, label in FACTS.items():
        beside = ", ".join(f"{row.name} {decibels(getattr(row, column))}" for row in others)
        facts.append((label, f"{decibels(getattr(ours, column))} dB ({beside})"))
    return facts


def level_line(
    style: tuple[str, str], rows: Sequence[object], baseline: BaselineRow, column: str
) -> Line:
    """A baseline as a level line, of this name and colour, below the curve of `rows`."""
    ends = np.array([0.0, finite(rows, "step").max(initial=0.0)])
    return Line(*style, ends, np.full(2, getattr(baseline, column)))
