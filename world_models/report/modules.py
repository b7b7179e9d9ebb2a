"""The report module of a stage: the one in this package that is named as the stage."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from world_models.config.groups import OWN_STAGES

if TYPE_CHECKING:
    from world_models.report.headline import Headline
    from world_models.report.page import Section
    from world_models.report.verdict import Finding


class StageReport(Protocol):
    """What a report module holds. With `HEADS_A_CHAIN = True` its headline may head the page of a
    chain."""

    TITLE: str
    LEAD: str
    # above the plots, tables, pictures and films of a finished run
    CAPTIONS: tuple[str, ...]

    def headline(self, folder: Path, /) -> "Headline | None":
        """The number by which a run is compared; None where there is none yet."""

    def findings(self, folder: Path, /) -> "list[Finding]":
        """Its numbers beside those that they must beat; none where there is nothing to beat."""

    def fill(self, section: "Section", /) -> None:
        """Facts, plots, tables and pictures, as far as the files are there."""


def report_of(stage: str) -> StageReport | None:
    """The report module of a stage; None for a stage without one, and for a chain."""
    if stage in OWN_STAGES:
        return cast(StageReport, OWN_STAGES[stage])
    name = f"{__package__}.{stage}"
    if not stage.isidentifier() or importlib.util.find_spec(name) is None:
        return None
    module = importlib.import_module(name)
    return cast(StageReport, module) if hasattr(module, "TITLE") else None


def heads_a_chain(stage: str) -> bool:
    """Whether the headline of this stage may head the page of a chain."""
    return bool(getattr(report_of(stage), "HEADS_A_CHAIN", False))


EXTRAS: "dict[str, list[Callable[[Section], None]]]" = {}
"""Stage -> what other people's code adds to the sections of its runs, after `fill`."""
