"""The page of several runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from world_models.figures.wording import number
from world_models.report.contrast import Group, Shown, differences, groups, shown, told
from world_models.report.overlaid import colours, curves_of, legend, stages_of
from world_models.report.page import Listing, Section
from world_models.report.report import Page, date, shown_text
from world_models.report.scores import add_scores
from world_models.report.verdict import verdict_of
from world_models.runs.folder import display_path
from world_models.runs.program import started
from world_models.runs.progress import tracked

RUNS = "Runs"
DIFFERENCES = "Differences"
MOST_CONFIGS = 12
"""Runs of which the page holds the whole configuration."""


def compare(folders: Sequence[Path]) -> Page:
    """The page of these runs; a folder that is none of a run is a ValueError."""
    runs = shown(folders)
    sections = [_runs(runs), *_scores(runs)]
    stages = stages_of(runs)
    for stage in tracked("draw the curves", stages, len(stages), "stages"):
        section = curves_of(stage, runs)
        sections += [] if section is None else [section]
    sections.append(_differences(runs))
    envs = dict.fromkeys(str(run.run.manifest["env"]["id"]) for run in runs)
    states = {run.run.status for run in runs}
    return Page(
        title=", ".join(envs),
        experiment=None,
        kind=f"{len(runs)} runs side by side",
        date=date(max(str(run.run.manifest["created"]) for run in runs)),
        status="running" if "running" in states else "finished",
        error=None,
        sections=sections,
        hero=None,
        film=None,
        seconds=sum(_seconds(run) for run in runs),
        lineage=[],
        facts=[("Command", " ".join(started().command))],
        versions=[],
        configs=[
            (f"{run.label}: config.yaml", shown_text(run.run.path / "config.yaml"))
            for run in runs[:MOST_CONFIGS]
        ],
    )


def _seconds(run: Shown) -> float:
    return float(run.run.manifest.get("wall_seconds") or 0)


def _section(title: str, lead: str, runs: Sequence[Shown]) -> Section:
    return Section(
        "", title, lead, runs[0].run.path, "finished", {}, key="-".join(title.lower().split())
    )


def _runs(runs: Sequence[Shown]) -> Section:
    """Which run each letter stands for, and how it went."""
    section = _section(
        RUNS,
        "Each run has a letter, which stands for it on this page. "
        "Runs that differ in their seed alone have one colour.",
        runs,
    )
    said = told(runs)
    section.legend = legend(colours(runs), said)
    columns = ["", "run", "differs in", "stage", "seed", "status", "minutes", "score", "verdict"]
    rows = [_run_cells(run, said[run.label]) for run in runs]
    section.listings.append(Listing("", columns, rows))
    section.headline = (f"{len(runs)}", "runs")
    return section


def _run_cells(run: Shown, differs_in: str) -> list[str]:
    past, found = run.run, verdict_of(run.run.path)
    return [
        run.label,
        display_path(past.path),
        differs_in or "–",
        past.stage,
        run.config.get("seed", "–"),
        past.status,
        f"{_seconds(run) / 60:.1f}",
        "–" if run.headline is None else f"{run.headline.name} {number(run.headline.value)}",
        "–" if found is None else found.word,
    ]


def _scores(runs: Sequence[Shown]) -> list[Section]:
    """Of each kind of score a section, where there are any."""
    kinds: dict[str, list[Group]] = {}
    for group in groups(runs):
        kinds.setdefault(group.headline.name, []).append(group)
    found = []
    for name, members in kinds.items():
        section = _section(name[0].upper() + name[1:], "", runs)
        add_scores(section, members, differences(runs), colours(runs))
        found.append(section)
    return found


def _differences(runs: Sequence[Shown]) -> Section:
    """The keys in which the configurations differ."""
    section = _section(
        DIFFERENCES, "The keys in which the runs differ, and those behind them.", runs
    )
    found = differences(runs)
    section.headline = (f"{len(found)}", "keys differ")
    if found:
        rows = [[key, *values] for key, values in found.items()]
        section.listings.append(Listing("", ["key", *(run.label for run in runs)], rows))
    else:
        section.note("The runs have the same configuration.")
    return section
