"""What the report says of M's ends: the rules by which its dreams may end, on held-out episodes."""

from collections.abc import Sequence

from world_models.figures.wording import number
from world_models.measures.rows import EndRow
from world_models.report.page import Listing, Section
from world_models.report.verdict import Finding, Scale, Side, better

USUAL = "0.5"
"""The rule of a dream of which nothing else is said."""
ENDS = "Rules by which dreams may end, on held-out steps, and how long dreams last by them"
HEADS = [
    "A step ends",
    "Recall of ends",
    "of as many at random",
    "Precision",
    "of any step",
    "Mean steps of a dream",
    "of the episode itself",
]


def add_ends(section: Section) -> None:
    """A table of the rules; none where no episode ended."""
    rows = [row for row in section.rows("ends.csv", EndRow) if row.ends > 0]
    if rows:
        section.listings.append(Listing(ENDS, HEADS, [_cells(row) for row in rows]))


def _cells(row: EndRow) -> list[str]:
    what = "as drawn from its probability" if row.rule == "drawn" else f"above {row.rule}"
    numbers = (row.recall, row.recall_chance, row.precision, row.precision_chance)
    return [what, *map(number, (*numbers, row.dream_length, row.real_length))]


def end_findings(rows: Sequence[EndRow]) -> list[Finding]:
    """Recall at the usual threshold beside chance; nothing where no episode ended."""
    usual = [row for row in rows if row.rule == USUAL and row.ends > 0]
    return [finding for row in usual for finding in _recalled(row)]


def _recalled(row: EndRow) -> list[Finding]:
    if row.ended > 0:
        ours, theirs = Side("M", row.recall), Side("chance", row.recall_chance)
        return better(ours, theirs, f"ends steps above {USUAL}", Scale("recall of ends"))
    return [
        Finding(
            False,
            f"M gives none of {row.ends:,} ends a probability above {USUAL}: dreams with that rule "
            f"last {number(row.dream_length)} steps, the episodes {number(row.real_length)}; "
            "let ends be drawn, or weigh them more (stage.done_weight).",
        )
    ]
