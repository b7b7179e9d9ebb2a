"""Curves of several runs in one plot each: every column that a stage measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
from world_models.report.curves import number_columns
from world_models.report.modules import report_of
from world_models.report.page import Section
from world_models.report.sweep_plots import COLOURS
from world_models.runs.metrics import read_csv
from world_models.runs.past import last_begun
from world_models.runs.rows import captions

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


def legend(colour_of: Mapping[str, str], said: Mapping[str, str]) -> list[tuple[str, str]]:
    """The letters of each kind of runs with what is `said` of them, and their colour."""
    found: dict[tuple[str, str], list[str]] = {}
    for label, colour in colour_of.items():
        found.setdefault((said[label], colour), []).append(label)
    return [(named(", ".join(labels), told), colour) for (told, colour), labels in found.items()]


def curves_of(stage: str, runs: Sequence[Shown]) -> Section | None:
    """The section of a stage; None where it has measured nothing that goes on."""
    report = report_of(stage)
    title = report.TITLE if report else stage
    section = Section(stage, title, "", runs[0].run.path, "finished", {}, key=f"curves-{stage}")
    folders = {shown.label: _folder(shown, stage) for shown in runs if stage in _stages(shown)}
    colour_of = {name: colour for name, colour in colours(runs).items() if name in folders}
    section.legend = legend(colour_of, told(runs))
    for file, where in TABLES.items():
        tables = {name: number_columns(read_csv(folder / file)) for name, folder in folders.items()}
        for place, column in _columns(tables):
            _add_plot(section, tables, (place, column), where, colour_of)
    section.headline = (f"{len(section.plots)}", "curves")
    return section if section.plots else None


def _folder(shown: Shown, stage: str) -> Path:
    parts = shown.run.parts
    return last_begun(shown.run, [stage]) if parts else shown.run.path


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
    colour_of: Mapping[str, str],
) -> None:
    place, name = columns
    known = {label: table for label, table in tables.items() if {place, name} <= set(table)}
    lines = [
        Line(label, colour_of[label], table[place], table[name], where != "training")
        for label, table in known.items()
    ]
    size = HALF if section.plots else WIDE
    caption = WORDS.get(name, name.replace("_", " "))
    source = plots.curves(lines, place, size, f"{section.key}: {name}, {where}")
    section.plot(source, caption[0].upper() + caption[1:], size, where)
