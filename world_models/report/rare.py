"""What a model that goes on gained, on frames that the first episodes show and on rare ones."""

import math
from collections.abc import Sequence

from world_models.figures.wording import number
from world_models.measures.rows import KINDS, MODELS, RareMemoryRow, RareVisionRow
from world_models.report.page import Listing, Section
from world_models.report.verdict import PSNR, Finding, Scale, Side, better

RARE = (
    "Frames as the first episodes show them, and rare ones (CarRacing: off the road; elsewhere "
    "those of which a PCA of the first frames loses most), before and after going on"
)
BITS = Scale("bits per dimension", " above V's own uncertainty", larger_is_better=False)
Row = RareVisionRow | RareMemoryRow


def rare_listing(rows: Sequence[Row], scale: Scale) -> Listing | None:
    """A table of the kinds of frames; None where nothing was measured before and after."""
    cells = [
        [kind, f"{found[1].frames:,}", *(number(_value(row)) for row in found)]
        for kind in KINDS
        if len(found := _before_and_after(rows, kind)) == len(MODELS)
    ]
    heads = ["Frames", "How many", *(f"{scale.name}{scale.unit} {model}" for model in MODELS)]
    return Listing(RARE, heads, cells) if cells else None


def add_rare(section: Section, rows: Sequence[Row], scale: Scale) -> None:
    """Show that table."""
    found = rare_listing(rows, scale)
    if found is not None:
        section.listings.append(found)


def rare_findings(rows: Sequence[Row], name: str, deed: str, scale: Scale) -> list[Finding]:
    """Whether the model does better on rare frames than the one that it began as."""
    found = _before_and_after(rows, KINDS[1])
    if len(found) < len(MODELS):
        return []
    before, after = (_value(row) for row in found)
    return better(Side(name, after), Side(f"the {name} that it began as", before), deed, scale)


def vision_findings(rows: Sequence[RareVisionRow]) -> list[Finding]:
    """Of V."""
    return rare_findings(rows, "V", "draws frames that the first episodes hardly show", PSNR)


def memory_findings(rows: Sequence[RareMemoryRow]) -> list[Finding]:
    """Of M."""
    return rare_findings(rows, "M", "predicts frames that the first episodes hardly show", BITS)


def _before_and_after(rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows of a kind, the model before it went on first."""
    named = {row.model: row for row in rows if row.kind == kind and math.isfinite(_value(row))}
    return [named[model] for model in MODELS if model in named]


def _value(row: Row) -> float:
    return row.psnr if isinstance(row, RareVisionRow) else row.bits
