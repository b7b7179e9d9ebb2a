"""Curves of several runs in one plot each: every column that a stage measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import HALF, WIDE, Line, Table
from world_models.measures.rows import (
    AutoencoderRow,
    MemoryRow,
    PixelRow,
    PixelStepRow,
    VisionRow,
)
from world_models.measures.search_rows import GenerationRow, SelectionRow
from world_models.report.contrast import Shown, named, told
from world_models.report.modules import report_of
from world_models.report.page import Section
from world_models.report.sweep_plots import COLOURS
from world_models.runs.metrics import read_csv
from world_models.runs.past import last_begun
from world_models.runs.rows import as_float, captions

TABLES = {
    "val_metrics.csv": "held out",
    "selection.csv": "selection episodes",
    "metrics.csv": "training",
}
"""The tables that hold curves, and on what they were measured."""
PLACES = ("generation", "step")
"""Columns along which a table goes on; the first that there is."""
NO_CURVES = {*PLACES, "epoch", "episodes", "env_steps", "lr", "n_samples", "unroll"}
ROWS = (
    PixelStepRow,
    VisionRow,
    MemoryRow,
    PixelRow,
    AutoencoderRow,
    GenerationRow,
    SelectionRow,
)
WORDS = {name: text for kind in ROWS for name, text in captions(kind).items()}


def stages_of(runs: Sequence[Shown]) -> list[str]:
    """The stages of the runs and of their parts, in their order."""
    every = [stage for shown in runs for stage in _stages(shown) if report_of(stage) is not None]
    return list(dict.fromkeys(every))


def _stages(shown: Shown) -> list[str]:
    return [part.stage for part in shown.run.parts] or [shown.run.stage]


def colours(runs: Sequence[Shown]) -> dict[str, str]:
    """Letter -> colour; runs that differ in chance alone have the same."""
    kinds = list(dict.fromkeys(shown.kind for shown in runs))
    return {shown.label: COLOURS[kinds.index(shown.kind) % len(COLOURS)] for shown in runs}


def legend(of: Mapping[str, str], said: Mapping[str, str]) -> list[tuple[str, str]]:
    """The letters of each kind of runs with what is `said` of them, and their colour."""
    found: dict[tuple[str, str], list[str]] = {}
    for label, colour in of.items():
        found.setdefault((said[label], colour), []).append(label)
    return [(named(", ".join(labels), told), colour) for (told, colour), labels in found.items()]


def curves_of(stage: str, runs: Sequence[Shown]) -> Section | None:
    """The section of a stage; None where it has measured nothing that goes on."""
    report = report_of(stage)
    title = report.TITLE if report else stage
    section = Section(stage, title, "", runs[0].run.path, "finished", {}, key=f"curves-{stage}")
    folders = {shown.label: _folder(shown, stage) for shown in runs if stage in _stages(shown)}
    of = {name: colour for name, colour in colours(runs).items() if name in folders}
    section.legend = legend(of, told(runs))
    for file, where in TABLES.items():
        tables = {name: table_of(folder / file) for name, folder in folders.items()}
        for place, column in _columns(tables):
            _add_plot(section, tables, (place, column), where, of)
    section.headline = (f"{len(section.plots)}", "curves")
    return section if section.plots else None


def _folder(shown: Shown, stage: str) -> Path:
    parts = shown.run.parts
    return last_begun(shown.run, [stage]) if parts else shown.run.path


def table_of(path: Path) -> Table:
    """The columns of a CSV file, NaN where a cell holds no number; none where it has no rows."""
    rows = read_csv(path)
    return {
        name: np.array([as_float(row[name]) for row in rows]) for name in (rows[0] if rows else {})
    }


def _columns(tables: dict[str, Table]) -> Iterator[tuple[str, str]]:
    """Pairs of columns to draw: along which, and which."""
    names = dict.fromkeys(name for table in tables.values() for name in table)
    place = next((name for name in PLACES if name in names), None)
    if place is not None:
        yield from ((place, name) for name in names if name not in NO_CURVES)


def _add_plot(
    section: Section,
    tables: dict[str, Table],
    columns: tuple[str, str],
    where: str,
    of: Mapping[str, str],
) -> None:
    place, name = columns
    known = {label: table for label, table in tables.items() if {place, name} <= set(table)}
    lines = [
        Line(label, of[label], table[place], table[name], where != "training")
        for label, table in known.items()
    ]
    size = HALF if section.plots else WIDE
    caption = WORDS.get(name, name.replace("_", " "))
    source = plots.curves(lines, place, size, f"{section.key}: {name}, {where}")
    section.plot(source, caption[0].upper() + caption[1:], size, where)
