"""The parts of a report page: figures, and the section of a stage that gathers them."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from markupsafe import Markup

from world_models.figures.plots import HALF, THIRD, WIDE, Table
from world_models.report.curves import number_columns
from world_models.report.verdict import Verdict
from world_models.runs.files import is_own
from world_models.runs.metrics import read_csv, read_rows

T = TypeVar("T")
MIME = {".png": "image/png", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class Figure:
    """A plot (SVG) or a picture or video (a data URI) with its caption."""

    source: Markup | str
    caption: str
    size: str = "wide"  # of a plot: wide, half or third
    note: str = ""  # how to read a plot


@dataclass(frozen=True)
class Listing:
    """A table of text, and which of its rows stands out."""

    caption: str
    columns: list[str]
    rows: list[list[str]]
    best: int | None = None


@dataclass
class Section:
    """What the page says of one stage."""

    stage: str
    title: str
    lead: str
    folder: Path
    status: str  # finished, running, failed, interrupted, not started or damaged
    manifest: dict[str, Any]
    headline: tuple[str, str] | None = None  # the number that matters, and what it is
    aside: tuple[str, str] | None = None  # a number to compare the headline with
    facts: list[tuple[str, str]] = field(default_factory=list)
    plots: list[Figure] = field(default_factory=list)
    pictures: list[Figure] = field(default_factory=list)
    videos: list[Figure] = field(default_factory=list)
    more: list[Figure] = field(default_factory=list)  # pictures and videos that no stage names
    listings: list[Listing] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)  # names of lines, their colours
    notes: list[str] = field(default_factory=list)  # what is missing or damaged
    shown: set[Path] = field(default_factory=set)  # media files that need not appear under `more`
    verdict: Verdict | None = None
    taken: bool = False  # from elsewhere, with `reuse=true`
    key: str = ""  # of the section on its page; a stage may occur twice in a chain

    @property
    def seconds(self) -> float:
        """Wall time of the stage; none where it was taken from elsewhere."""
        return 0.0 if self.taken else float(self.manifest.get("wall_seconds") or 0)

    @property
    def message(self) -> str:
        """What a reader must know of a stage that did not finish; empty when it did."""
        error = self.manifest.get("error") or "no reason was recorded"
        return {
            "not started": "Not started.",
            "running": "Still running when this page was written.",
            "interrupted": "Interrupted before it was finished.",
            "failed": f"Failed: {error}",
        }.get(self.status, "")

    def records(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file as text; none when it is missing, damaged or empty."""
        try:
            return read_csv(self.folder / name)
        except ValueError as error:
            self.note(str(error))
            return []

    def rows(self, name: str, kind: type[T]) -> list[T]:
        """The typed rows of a CSV file; none, and a note, when it is damaged or lacks a column."""
        try:
            return read_rows(self.folder / name, kind)
        except ValueError as error:
            self.note(str(error))
            return []

    def note(self, text: str) -> None:
        """Say once what is missing or damaged."""
        if text not in self.notes:
            self.notes.append(text)

    def table(self, name: str) -> Table:
        """The number columns of a CSV file; none when it is missing, damaged or empty."""
        return number_columns(self.records(name))

    def plot(
        self, source: Markup | None, caption: str, size: tuple[int, int] = WIDE, note: str = ""
    ) -> None:
        """Add a plot unless there was nothing to draw."""
        if source is not None:
            # ids of an SVG hold in the whole page, and other sections may have a plot of this title
            own = Markup(source.replace("plot-", f"{self.key}-plot-"))
            name = {WIDE: "wide", HALF: "half", THIRD: "third"}[size]
            self.plots.append(Figure(own, caption, name, note))

    def show(self, path: Path, caption: str, where: list[Figure]) -> None:
        """Add a picture or video if its file is there."""
        if path not in self.shown and is_own(self.folder, path):
            self.shown.add(path)
            content = base64.b64encode(path.read_bytes()).decode()
            where.append(Figure(f"data:{MIME[path.suffix]};base64,{content}", caption))
