"""The section of a stage on a page: what its report module makes of its files."""

from pathlib import Path
from typing import Any

import numpy as np

from world_models.figures.wording import number
from world_models.report.modules import EXTRAS, StageReport, report_of
from world_models.report.page import Section
from world_models.report.training import fill_training, finite_cells
from world_models.report.verdict import verdict


def make_section(
    folder: Path, stage: str, manifest: dict[str, Any], status: str, key: str = ""
) -> Section:
    """The section of the stage that ran in `folder`; a stage without a report module shows its
    training.

    `key` names the section on its page: the folder of a chain's part, or nothing for the stage's
    name.
    """
    report = report_of(stage)
    title, lead = (report.TITLE, report.LEAD) if report else (stage, "")
    section = Section(stage, title, lead, folder, status, manifest, key=key or stage)
    fill = report.fill if report else fill_training
    fill(section)
    for add in EXTRAS.get(stage, []):
        add(section)
    if report is not None and status == "finished":
        _add_verdict(section, report)
    rates = finite_cells(section.table("timing.csv"), "rate")
    if rates.size:
        section.facts.append(("Speed", f"{number(float(np.median(rates)))} steps/s"))
    for path in sorted([*folder.glob("images/*.png"), *folder.glob("videos/*.mp4")]):
        section.show(path, path.stem.replace("_", " "), section.more)
    if status not in ("not started", "damaged") and not (
        section.facts or section.plots or section.shown
    ):
        section.notes.append("Nothing has been recorded yet.")
    return section


def _add_verdict(section: Section, report: StageReport) -> None:
    """Its numbers beside those that they must beat; a damaged file gives a note."""
    try:
        section.verdict = verdict(report.findings(section.folder))
    except ValueError as error:
        section.note(str(error))
