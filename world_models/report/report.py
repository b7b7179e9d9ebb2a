"""The report: one self-contained page made from the files of a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from world_models.figures.wording import duration
from world_models.report.page import Figure, Section
from world_models.report.sections import TITLES, make_section
from world_models.runs.files import write_text
from world_models.runs.folder import read_manifest
from world_models.runs.lineage import status
from world_models.runs.past import PastRun

TEMPLATE = "report.html.j2"
# the stages whose headline may head the page of a pipeline
SCORED = ("controller", "pixel", "evaluate")


@dataclass(frozen=True)
class Page:
    """Everything the template shows besides the sections."""

    title: str
    experiment: str | None
    kind: str  # pipeline, or the stage's title
    date: str
    status: str
    error: str | None  # why a pipeline failed
    sections: list[Section]
    hero: Section | None  # the section whose headline heads the page
    film: Figure | None  # the video beside it
    seconds: float  # wall time
    lineage: list[tuple[str, str, str, str]]  # stage, kind of input, its path, short hash
    facts: list[tuple[str, str]]  # how to make the run again
    versions: list[tuple[str, str]]
    configs: list[tuple[str, str]]  # name, YAML


def write_report(folder: Path) -> Path:
    """Write `report.html` in a run folder (of a stage or of a pipeline) from the files that are there; returns its path.

    Runs that are unfinished, failed or lack files get a page that says so; a folder that is no run is a ValueError.
    """
    return write_page(folder, _page(folder))


def write_page(folder: Path, page: Page) -> Path:
    """Write a page as `report.html`; returns its path."""
    path = folder / "report.html"
    write_text(path, _templates().get_template(TEMPLATE).render(page=page))
    return path


def _templates() -> Environment:
    loader = FileSystemLoader(Path(__file__).parent)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["duration"] = duration
    return made


def _page(folder: Path) -> Page:
    manifest = read_manifest(folder)
    parts = [part.folder for part in PastRun(folder).parts]
    whole = bool(parts)
    sections = _parts(folder, manifest, parts) if whole else [_part(folder, manifest["stage"])]
    heads = [
        section
        for section in sections
        if section.headline and (section.stage in SCORED or not whole)
    ]
    hero = heads[-1] if heads else None
    return Page(
        title=str((manifest.get("env") or {}).get("id", "World model")),
        experiment=manifest.get("experiment"),
        kind="World model" if whole else sections[0].title,
        date=date(str(manifest.get("created", ""))),
        status=status(folder),
        error=manifest.get("error") if whole else None,
        sections=sections,
        hero=hero,
        film=_film(hero) if hero else None,
        seconds=sum(section.seconds for section in sections),
        lineage=[
            *(row for section in sections for row in _lineage(section)),
            *_whole_runs(manifest),
        ],
        facts=facts(manifest),
        versions=[
            (str(name), str(value)) for name, value in (manifest.get("versions") or {}).items()
        ],
        configs=_configs(folder, parts),
    )


def _parts(folder: Path, manifest: dict[str, Any], parts: Sequence[str]) -> list[Section]:
    """The sections of a pipeline."""
    taken = manifest.get("reused") or {}
    sections = {name: _part(folder / name, name) for name in parts if name not in taken}
    sections |= {name: _taken(folder / name, name, entry["path"]) for name, entry in taken.items()}
    return [sections[name] for name in parts]


def _part(folder: Path, stage: str) -> Section:
    """The section of one stage; a folder that does not exist or is damaged gives one that says so."""
    if not (folder / "manifest.json").is_file():
        return make_section(folder, stage, {}, "not started")
    try:
        return make_section(folder, stage, read_manifest(folder), status(folder))
    except (ValueError, KeyError) as error:
        section = make_section(folder, stage, {}, "damaged")
        section.notes.append(f"manifest.json cannot be read: {error}")
        return section


def _taken(folder: Path, stage: str, source: str) -> Section:
    """The section of a pipeline's stage that another run gave it."""
    if folder.exists():
        section = _part(folder, stage)
        section.notes.append(f"Taken from {source} (reuse=true).")
    else:
        section = make_section(folder, stage, {}, "damaged")
        section.notes.append(f"Taken from {source} (reuse=true), which is gone.")
    section.taken = True
    return section


def _film(hero: Section) -> Figure | None:
    """The typical episode, neither the best nor the worst."""
    return next((video for video in hero.videos if video.caption.startswith("median")), None)


def _lineage(section: Section) -> list[tuple[str, str, str, str]]:
    inputs = section.manifest.get("inputs") or []
    return [
        (section.title, str(item["kind"]), str(item["path"]), str(item["sha256"])[:12])
        for item in inputs
    ]


def _whole_runs(manifest: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Runs that a pipeline took as its stages."""
    taken = (manifest.get("reused") or {}).items()
    return [
        (TITLES[name][0], "a whole run", str(item["path"]), str(item["sha256"])[:12])
        for name, item in taken
    ]


def facts(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """How a run was made."""
    machine, git = manifest.get("machine") or {}, manifest.get("git")
    commit = (
        f"{git['commit'][:12]}{' with uncommitted changes' if git.get('dirty') else ''}"
        if git
        else "not recorded"
    )
    cores = f", {machine['cores']} cores" if machine.get("cores") else ""
    return [
        ("Command", " ".join(map(str, manifest.get("command") or []))),
        ("Source", commit),
        ("Seed", str(manifest.get("seed", "–"))),
        ("Device", f"{manifest.get('device', '–')}, {manifest.get('threads', '–')} threads"),
        ("Processor", f"{machine.get('processor') or 'unknown'}{cores}"),
        ("System", str(machine.get("platform", "–"))),
    ]


def _configs(folder: Path, parts: Sequence[str]) -> list[tuple[str, str]]:
    paths = {
        "config.yaml": folder / "config.yaml",
        **{f"{part}/config.yaml": folder / part / "config.yaml" for part in parts},
    }
    return [
        (name, path.read_text(errors="replace")) for name, path in paths.items() if path.is_file()
    ]


def date(created: str) -> str:
    """A manifest's moment as people write it."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M}"
