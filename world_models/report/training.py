"""What the report says of a stage that trains in epochs: its loss, the terms of it, and how far it
came."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, HALF, ORANGE, THIRD, WIDE, Table
from world_models.figures.wording import number
from world_models.measures.rows import StepRow, ValidationRow
from world_models.report.curves import table_line
from world_models.report.headline import Headline
from world_models.report.page import Section
from world_models.runs.metrics import read_column
from world_models.runs.rows import captions

BEST_NOTE = "Ring: the lowest validation loss, whose weights are kept"
PLACE_COLUMNS = ("step", "epoch", "lr")


def loss_headline(
    folder: Path, kind: type, name: str, contains: tuple[str, ...]
) -> Headline | None:
    """The least validation loss so far; `contains` names the keys that are in it."""
    losses = read_column(folder / "val_metrics.csv", kind, name)
    if not losses.size:
        return None
    return Headline("validation loss", float(losses.min()), False, contains=contains)


def fill_training(
    section: Section, kind: type = ValidationRow, elsewhere: Collection[str] = ()
) -> None:
    """Headline, facts, and a plot for every column of metrics.csv; those of `elsewhere` are shown
    by the caller."""
    train, val = section.table("metrics.csv"), section.table("val_metrics.csv")
    losses, steps = finite_cells(val, "loss"), finite_cells(train, "step")
    if losses.size:
        section.headline = (number(losses.min()), "best validation loss")
        section.facts += [
            ("Best validation loss", number(losses.min())),
            ("Epochs", f"{losses.size:,}"),
        ]
    if steps.size:
        section.facts.append(("Training steps", f"{steps.max():,.0f}"))
    terms = [name for name in (train or val) if name not in (*PLACE_COLUMNS, "loss", *elsewhere)]
    small = THIRD if len(terms) % 3 == 0 else HALF
    words = captions(StepRow) | captions(kind)
    for name, size in [("loss", WIDE), *((term, small) for term in terms)]:
        is_loss = name == "loss"
        lines = [
            *table_line("training", BLUE, train, name),
            *table_line("validation", ORANGE, val, name, True, "lowest" if is_loss else ""),
        ]
        source = plots.curves(lines, "step", size, f"{section.title}: {name}")
        section.plot(source, words.get(name, name), size, BEST_NOTE if is_loss and val else "")


def finite_cells(table: Table, name: str) -> np.ndarray:
    """The finite numbers of a file's column; none without it."""
    values = table.get(name, np.empty(0))
    return values[np.isfinite(values)]
