"""What the report says of the toy stage."""

from pathlib import Path

from world_models.report.headline import Headline
from world_models.report.page import Section
from world_models.report.verdict import Finding
from world_models.runs.files import read_json

TITLE = "Toy"
LEAD = "A sum, to be looked at."
HEADS_A_CHAIN = True


def headline(folder: Path) -> Headline | None:
    path = folder / "toy.json"
    return Headline("toy score", read_json(path)["score"], True) if path.is_file() else None


def findings(folder: Path) -> list[Finding]:
    return []


def fill(section: Section) -> None:
    found = headline(section.folder)
    if found is not None:
        section.headline = (f"{found.value:.1f}", "toy score")
