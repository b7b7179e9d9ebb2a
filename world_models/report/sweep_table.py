"""What came of a sweep: a row for each job, and seeds taken together."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world_models.report.headline import Headline, headline
from world_models.runs.files import write_text
from world_models.runs.folder import read_manifest
from world_models.runs.statistics import SeedSummary, summarize_seeds
from world_models.runs.sweeps import failure, job_status, read_sweep

OTHER_TASK = ("env", "env.id", "env.game")


@dataclass(frozen=True)
class Job:
    """How one job stands."""

    number: int
    folder: Path
    values: dict[str, str]  # swept key -> value, as typed
    status: str  # finished, failed, interrupted, running, or not started
    headline: Headline | None
    minutes: float
    error: str


@dataclass(frozen=True)
class Group:
    """Finished jobs that differ in their seed alone, and the summary of their headlines."""

    values: dict[str, str]
    metric: str
    larger_is_better: bool
    scores: list[float]
    summary: SeedSummary
    # keys that are in the metric itself
    contains: tuple[str, ...] = ()


def read_jobs(folder: Path) -> list[Job]:
    """All jobs of a sweep, in the order of the list."""
    sweep = read_sweep(folder)
    return [
        _read_job(folder / str(number), number, sweep.values(number))
        for number in range(len(sweep.jobs))
    ]


def _read_job(folder: Path, number: int, values: dict[str, str]) -> Job:
    state, manifest = job_status(folder), _manifest(folder)
    best = headline(folder) if manifest else None
    return Job(
        number,
        folder,
        values,
        state,
        best,
        manifest.get("wall_seconds", 0.0) / 60,
        _error(folder, state),
    )


def _manifest(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) if (folder / "manifest.json").is_file() else {}


def _error(folder: Path, state: str) -> str:
    """The first line of why a job failed."""
    if state != "failed":
        return ""
    why = failure(folder) or _manifest(folder).get("error") or "no reason was recorded"
    return str(why).partition("\n")[0]


def grouped(jobs: list[Job]) -> list[Group]:
    """Finished jobs with the sweep's metric, those that differ in `seed` alone taken together."""
    scored = [
        (job.values, job.headline) for job in jobs if job.status == "finished" and job.headline
    ]
    found: dict[tuple[tuple[str, str], ...], list[Headline]] = {}
    for values, best in scored:
        if best.name == scored[0][1].name:
            found.setdefault(
                tuple((key, value) for key, value in values.items() if key != "seed"), []
            ).append(best)
    return [_group(dict(values), headlines) for values, headlines in found.items()]


def _group(values: dict[str, str], headlines: list[Headline]) -> Group:
    scores, first = [item.value for item in headlines], headlines[0]
    summary = summarize_seeds(scores)
    return Group(values, first.name, first.larger_is_better, scores, summary, first.contains)


def best_of(groups: list[Group]) -> Group | None:
    """The group with the best mean; None where the metric does not compare."""
    if not groups or not_compared(groups):
        return None
    sign = 1 if groups[0].larger_is_better else -1
    return max(groups, key=lambda group: sign * group.summary.mean)


def not_compared(groups: list[Group]) -> list[str]:
    """Swept keys that are in the metric itself, or that make another task of it."""
    if not groups:
        return []
    inside = groups[0].contains
    found = [
        key for key in groups[0].values if key in OTHER_TASK or key.rpartition(".")[2] in inside
    ]
    return [key for key in found if len({group.values[key] for group in groups}) > 1]


def write_tables(folder: Path, jobs: list[Job], groups: list[Group]) -> None:
    """Write sweep.csv, and sweep_seeds.csv where several seeds were swept."""
    _write_csv(folder / "sweep.csv", [job_row(job) for job in jobs])
    if groups and "seed" in jobs[0].values:
        _write_csv(folder / "sweep_seeds.csv", [group_row(group) for group in groups])


def job_row(job: Job) -> dict[str, Any]:
    """A row of sweep.csv; the folder is seen from that of the sweep."""
    best = job.headline
    return {
        "job": job.number,
        **job.values,
        "status": job.status,
        "metric": best.name if best else "",
        "best": best.value if best else "",
        "minutes": round(job.minutes, 2),
        "folder": job.folder.name,
        "error": job.error,
    }


def group_row(group: Group) -> dict[str, Any]:
    """A row of sweep_seeds.csv."""
    summary = group.summary
    std = summary.std if math.isfinite(summary.std) else ""
    numbers = {"mean": summary.mean, "std": std, "low": summary.low, "high": summary.high}
    numbers["interval"] = "range" if summary.is_range else "95 %"
    return {**group.values, "metric": group.metric, "n": len(group.scores), **numbers}


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
