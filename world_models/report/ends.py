"""What the report says of M's ends: the rules by which its dreams may end, on held-out episodes."""

from collections.abc import Sequence

from world_models.figures.wording import number
from world_models.measures.rows import EndRow
from world_models.report.page import Listing, Section
from world_models.report.verdict import Finding, Scale, Side, better

USUAL = "0.5"
"""The rule of a dream of which nothing else is said."""
DRAWN = "drawn"
TOO_FAR = 1.5
"""From this ratio on, either way, M expects another number of ends than there are."""
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
    what = "as drawn from its probability" if row.rule == DRAWN else f"above {row.rule}"
    numbers = (row.recall, row.recall_chance, row.precision, row.precision_chance)
    return [what, *map(number, (*numbers, row.dream_length, row.real_length))]


def end_findings(rows: Sequence[EndRow]) -> list[Finding]:
    """Recall at the usual threshold beside chance, and whether M expects as many ends as there are.

    Nothing where no episode ended.
    """
    there = [row for row in rows if row.ends > 0]
    recalled = [finding for row in there if row.rule == USUAL for finding in _recalled(row)]
    return [*recalled, *(_miscounted(row) for row in there if row.rule == DRAWN and _is_off(row))]


def _is_off(row: EndRow) -> bool:
    return not 1 / TOO_FAR < row.ended / row.ends < TOO_FAR


def _miscounted(row: EndRow) -> Finding:
    last = "longer" if row.ended < row.ends else "sooner over"
    return Finding(
        False,
        f"M expects {number(row.ended)} ends in steps that had {row.ends:,}: dreams whose ends are "
        f"drawn are {last} than episodes; stage.sequences=episodes reads ends as often as they "
        "are.",
    )


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
