"""What a sweep came to: its page, its pictures, and its tables."""

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from world_models.figures.plots import as_png, as_svg
from world_models.figures.wording import number, plain_console
from world_models.report.doubt import doubt
from world_models.report.page import Figure, Listing, Section
from world_models.report.report import (
    REPORT,
    Page,
    date,
    facts,
    lineage_row,
    shown_text,
    title_of,
    versions_of,
    write_page,
)
from world_models.report.sweep_plots import LEFT_MARGIN, PLOT_SIZE, Chart, charts, drawer
from world_models.report.sweep_table import Group, Job, best_of, not_compared
from world_models.runs.files import replacing
from world_models.runs.folder import display_path, read_manifest
from world_models.runs.places import led_to, seen_from
from world_models.runs.quotes import printable
from world_models.runs.sweeps import read_sweep

SEEDS_NOTE = (
    "Marks: means over seeds, with Student's 95 % interval (of two seeds: their range); "
    "dots: single jobs"
)


def print_tables(jobs: list[Job], groups: list[Group], console: Console | None = None) -> None:
    """The table of all jobs and, where seeds were swept, that of the seeds taken together."""
    *seeds, every = listings(jobs, groups)
    folders = [
        [*row[:-1], display_path(job.folder), row[-1]]
        for job, row in zip(jobs, every.rows, strict=True)
    ]
    every = Listing(every.caption, [*every.columns[:-1], "folder", every.columns[-1]], folders)
    for listing in (every, *seeds):
        table = Table(
            *listing.columns, box=None, pad_edge=False, title=listing.caption, title_justify="left"
        )
        for index, row in enumerate(listing.rows):
            table.add_row(*map(printable, row), style="bold" if index == listing.best else None)
        (console or plain_console()).print(table, "")
    for note in _notes(groups):
        (console or plain_console()).print(note)


def listings(jobs: list[Job], groups: list[Group]) -> list[Listing]:
    """Both tables as text, the jobs last."""
    columns = ["job", *jobs[0].values, "status", "metric", "best", "minutes", "error"]
    seeds = [_seeds_listing(groups)] if groups and "seed" in jobs[0].values else []
    return [*seeds, Listing("Jobs", columns, [_job_cells(job) for job in jobs])]


def _job_cells(job: Job) -> list[str]:
    best = [job.headline.name, f"{job.headline.value:.5g}"] if job.headline else ["", ""]
    return [
        f"{job.number}",
        *job.values.values(),
        job.status,
        *best,
        f"{job.minutes:.1f}",
        job.error,
    ]


def _seeds_listing(groups: list[Group]) -> Listing:
    columns = [
        *groups[0].values,
        "metric",
        "seeds",
        "mean",
        "standard deviation",
        "95 % interval of the mean",
    ]
    best = best_of(groups)
    return Listing(
        "Seeds taken together",
        columns,
        [_group_cells(group) for group in groups],
        groups.index(best) if best else None,
    )


def _group_cells(group: Group) -> list[str]:
    summary = group.summary
    numbers = [
        f"{summary.mean:.5g}",
        f"{summary.std:.3g}" if math.isfinite(summary.std) else "–",
        _reach(group),
    ]
    return [*group.values.values(), group.metric, f"{len(group.scores)}", *numbers]


def _reach(group: Group) -> str:
    if len(group.scores) == 1:
        return "–"
    ends = f"{group.summary.low:.5g} to {group.summary.high:.5g}"
    return f"range {ends}" if group.summary.is_range else ends


def _notes(groups: list[Group]) -> list[str]:
    """Why nothing is ranked, or how uncertain the best is."""
    uncertain = _doubt(groups)
    return [*_not_ranked(groups), *([uncertain] if uncertain else [])]


def _doubt(groups: list[Group]) -> str:
    """Why the best is not told apart; empty where it is, or where there is none."""
    best = best_of(groups)
    others = {_choice(group): group.scores for group in groups if group is not best}
    return "" if best is None else doubt(best.scores, others)


def _choice(group: Group) -> str:
    return ", ".join(f"{key}={value}" for key, value in group.values.items())


def _not_ranked(groups: list[Group]) -> list[str]:
    """Why nothing is ranked."""
    keys = not_compared(groups)
    if not keys:
        return []
    metric, named = groups[0].metric, " and ".join(keys)
    return [f"Not ranked: the {metric} means something else with another {named}."]


def write_sweep_report(folder: Path, jobs: list[Job], groups: list[Group]) -> Path:
    """Write plots/*.png and report.html of a sweep; returns the path of the page."""
    sweep = read_sweep(folder)
    begun = [job for job in jobs if (job.folder / "manifest.json").is_file()]
    manifest = read_manifest(begun[0].folder) if begun else {}
    section = _section(folder, jobs, groups)
    shown = {**manifest, "command": [*sweep.program, *sweep.command]}
    if "seed" in sweep.swept:
        shown["seed"] = "swept"
    page = Page(
        title=title_of(manifest),
        experiment=None if "experiment" in sweep.swept else manifest.get("experiment"),
        kind=f"Sweep over {' and '.join(sweep.swept) or 'nothing'}",
        date=date(sweep.began),
        status=section.status,
        error=None,
        sections=[section],
        hero=section if section.headline else None,
        film=None,
        seconds=60 * sum(job.minutes for job in jobs),
        lineage=list(dict.fromkeys(row for job in begun for row in _lineage(job, folder))),
        facts=facts(shown),
        versions=versions_of(manifest),
        configs=[("sweep.json", shown_text(folder / "sweep.json"))],
    )
    return write_page(folder / REPORT, page)


def _section(folder: Path, jobs: list[Job], groups: list[Group]) -> Section:
    states = [job.status for job in jobs]
    failed = {"error": f"{states.count('failed')} of {len(jobs)} jobs"}
    section = Section("sweep", "Results", "", folder, _state(states), failed, key="sweep")
    section.facts = [(name.capitalize(), f"{states.count(name)}") for name in dict.fromkeys(states)]
    best = best_of(groups)
    if best is not None:
        choice = _choice(best)
        said = f"best {best.metric}: {choice}" if choice else f"best {best.metric}"
        uncertain = _doubt(groups)
        if uncertain:
            said = f"{said}. {uncertain}"
        section.headline = (number(best.summary.mean), said)
    section.notes += _not_ranked(groups)
    for chart in charts(groups):
        section.plots.append(_plot(folder, chart))
    section.listings = listings(jobs, groups)
    return section


def _state(states: list[str]) -> str:
    """Of the whole sweep."""
    for state in ("failed", "running"):
        if state in states:
            return state
    return "finished" if set(states) == {"finished"} else "interrupted"


def _plot(folder: Path, chart: Chart) -> Figure:
    """The chart for the page; it is also written to plots/."""
    title = f"{chart.metric} against {chart.key}" if chart.key else chart.metric
    draw = drawer(chart)
    path = folder / "plots" / f"{(chart.key or 'seeds').replace('/', '-')}.png"
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as file:
        file.write(as_png(draw, PLOT_SIZE, LEFT_MARGIN, chart.top))
    several = any(len(group.scores) > 1 for series in chart.series for group in series.groups)
    svg = as_svg(draw, PLOT_SIZE, title, LEFT_MARGIN, chart.top)
    return Figure(svg, title[0].upper() + title[1:], "wide", SEEDS_NOTE if several else "")


def _lineage(job: Job, folder: Path) -> list[tuple[str, str, str, str]]:
    """What a job was built on, seen from the sweep's folder."""
    manifest = read_manifest(job.folder)
    rows = []
    for item in manifest["inputs"]:
        path = seen_from(led_to(job.folder, item["path"]), folder)
        rows.append(lineage_row(manifest["stage"], item, item["kind"], path))
    return rows
