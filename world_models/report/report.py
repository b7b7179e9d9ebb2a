"""The report: one self-contained page made from the files of a run folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from world_models.figures.plots import own_colour
from world_models.figures.wording import duration
from world_models.report.ancestry import graph
from world_models.report.live import SCRIPT, allowed
from world_models.report.modules import heads_a_chain, report_of
from world_models.report.next_steps import next_steps
from world_models.report.page import Figure, Section
from world_models.report.sections import make_section
from world_models.report.shown_run import shown_run
from world_models.runs.files import write_text
from world_models.runs.past import Part
from world_models.runs.progress import tracked

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "report.html.j2"
REPORT = "report.html"
LONGEST_TEXT = 1_000_000
"""Bytes of a configuration that the page still shows."""


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
    # of a run that goes on: seconds after which a browser fetches the page anew
    again: float | None = None
    graph: Markup | None = None  # what was made from what
    # what to type next: purpose, command
    steps: list[tuple[str, str]] = field(default_factory=list)


def write_report(folder: Path) -> Path:
    """Write `report.html` in a run folder (of a stage or of a pipeline) from the files that are
    there; returns its path.

    Runs that are unfinished, failed or lack files get a page that says so; a folder that is no run
    is a ValueError.
    """
    return write_page(folder / REPORT, page_of(folder))


def write_page(path: Path, page: Page) -> Path:
    """Write a page; returns its path."""
    text = _templates().get_template(TEMPLATE).render(page=page)
    # bytes of names that are no UTF-8
    write_text(path, text.encode(errors="backslashreplace").decode())
    return path


def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["duration"] = duration
    made.filters["own"] = own_colour
    made.globals["script"] = Markup(SCRIPT)
    made.globals["allowed"] = Markup(allowed())
    return made


def page_of(folder: Path) -> Page:
    """The page of a run folder, see `write_report`."""
    run, odd = shown_run(folder)
    manifest = run.manifest
    parts = [] if report_of(run.stage) else run.parts
    is_chain = bool(parts)
    taken = manifest.get("reused") or {}
    sections = _parts(folder, parts, taken) if is_chain else [_part(folder, run.stage)]
    _note_odd(sections[0], odd)
    hero = _hero(sections, is_chain)
    return Page(
        title=title_of(manifest),
        experiment=manifest.get("experiment"),
        kind="World model" if is_chain else sections[0].title,
        date=date(str(manifest.get("created", ""))),
        status=run.status,
        error=manifest.get("error") if is_chain else None,
        sections=sections,
        hero=hero,
        film=_film(hero) if hero else None,
        seconds=sum(section.seconds for section in sections),
        lineage=[
            *(row for section in sections for row in _lineage(section)),
            *_whole_runs(sections, taken),
        ],
        facts=facts(manifest),
        versions=versions_of(manifest),
        configs=_configs(folder, [part.folder for part in parts]),
        graph=graph([folder / part.folder for part in parts] or [folder]),
        steps=next_steps(folder, run.stage, run.status, manifest),
    )


def _hero(sections: Sequence[Section], is_chain: bool) -> Section | None:
    """The section whose headline heads the page; None where none has one that may."""
    with_headline = [section for section in sections if section.headline]
    if is_chain:
        with_headline = [one for one in with_headline if heads_a_chain(one.stage)]
    return with_headline[-1] if with_headline else None


def _parts(folder: Path, parts: Sequence[Part], taken: Mapping[str, Any]) -> list[Section]:
    """The sections of a chain; `taken` says which of its parts other runs gave it."""
    sections = [
        _taken(folder / part.folder, part.stage, str(taken[part.folder]["path"]))
        if part.folder in taken
        else _part(folder / part.folder, part.stage, part.folder)
        for part in tracked("draw the report", parts, len(parts), "sections")
    ]
    _number(sections)
    return sections


def _number(sections: Sequence[Section]) -> None:
    """Titles of a stage that occurs again say for which time."""
    times = Counter[str]()
    for section in sections:
        times[section.stage] += 1
        if times[section.stage] > 1:
            section.title = f"{section.title} ({times[section.stage]})"


def _part(folder: Path, stage: str, key: str = "") -> Section:
    """The section of one stage; a folder that does not exist or is damaged gives one that says
    so."""
    if not (folder / "manifest.json").is_file():
        return make_section(folder, stage, {}, "not started", key)
    try:
        run, odd = shown_run(folder)
        section = make_section(folder, stage, run.manifest, run.status, key)
        _note_odd(section, odd)
        return section
    except ValueError as error:
        section = make_section(folder, stage, {}, "damaged", key)
        section.notes.append(f"manifest.json cannot be read: {error}")
        return section


def _note_odd(section: Section, odd: list[str]) -> None:
    """Say which fields of a manifest cannot be shown."""
    if odd:
        section.note(f"manifest.json is damaged: {', '.join(odd)} cannot be shown.")


def _taken(folder: Path, stage: str, source: str) -> Section:
    """The section of a chain's part that another run gave it."""
    if folder.exists():
        section = _part(folder, stage, folder.name)
        section.notes.append(f"Taken from {source} (reuse=true).")
    else:
        section = make_section(folder, stage, {}, "damaged", folder.name)
        section.notes.append(f"Taken from {source} (reuse=true), which is gone.")
    section.taken = True
    return section


def _film(hero: Section) -> Figure | None:
    """The typical episode, neither the best nor the worst."""
    return next((video for video in hero.videos if video.caption.startswith("median")), None)


def _lineage(section: Section) -> list[tuple[str, str, str, str]]:
    inputs = section.manifest.get("inputs") or []
    return [lineage_row(section.title, item, item["kind"], item["path"]) for item in inputs]


def _whole_runs(
    sections: Sequence[Section], taken: Mapping[str, Any]
) -> list[tuple[str, str, str, str]]:
    """Runs that a chain took as its parts."""
    titles = {section.key: section.title for section in sections}
    return [
        lineage_row(titles.get(name, name), item, "a whole run", item["path"])
        for name, item in taken.items()
    ]


def lineage_row(
    stage: str, item: Mapping[str, Any], kind: str, path: str
) -> tuple[str, str, str, str]:
    """A row of `Page.lineage`: what was built on the `item` that a manifest records."""
    return stage, str(kind), str(path), str(item["sha256"])[:12]


def title_of(manifest: Mapping[str, Any]) -> str:
    """The title of a page: the environment of the run."""
    return str((manifest.get("env") or {}).get("id", "World model"))


def versions_of(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The packages that a run was made with, and their versions."""
    found = manifest.get("versions") or {}
    return [(str(name), str(value)) for name, value in found.items()]


def facts(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """How a run was made."""
    machine = manifest.get("machine") or {}
    cores = f", {machine['cores']} cores" if machine.get("cores") else ""
    return [
        ("Command", " ".join(map(str, manifest.get("command") or []))),
        ("Source", _source(manifest.get("git"))),
        ("Seed", str(manifest.get("seed", "–"))),
        ("Device", f"{manifest.get('device', '–')}, {manifest.get('threads', '–')} threads"),
        ("Processor", f"{machine.get('processor') or 'unknown'}{cores}"),
        ("System", str(machine.get("platform", "–"))),
    ]


def _source(git: Mapping[str, Any] | None) -> str:
    if not git:
        return "not recorded"
    return f"{git['commit'][:12]}{' with uncommitted changes' if git.get('dirty') else ''}"


def _configs(folder: Path, parts: Sequence[str]) -> list[tuple[str, str]]:
    paths = {
        "config.yaml": folder / "config.yaml",
        **{f"{part}/config.yaml": folder / part / "config.yaml" for part in parts},
    }
    return [(name, shown_text(path)) for name, path in paths.items() if path.is_file()]


def shown_text(path: Path) -> str:
    """The text of a small file, as the page shows it; a link leads to what is not of this run."""
    if path.is_symlink() or path.stat().st_size > LONGEST_TEXT:
        return f"{path.name} is a link, or too long: it is not shown"
    return path.read_text(errors="replace")


def date(created: str) -> str:
    """A manifest's moment as people write it."""
    try:
        moment = datetime.fromisoformat(created).astimezone()
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M}"
