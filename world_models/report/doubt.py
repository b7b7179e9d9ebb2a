"""Whether a few seeds tell the best of several choices apart from the others."""

from collections.abc import Mapping, Sequence

from world_models.runs.statistics import SeedSummary, summarize_seeds

LEAST = 3
"""Seeds of which an interval is known."""
MOST_NAMED = 3


def doubt(best: Sequence[float], others: Mapping[str, Sequence[float]]) -> str:
    """A sentence on why seeds do not tell the best from others, by name; empty where they do."""
    if not others:
        return ""
    least = min(len(best), *map(len, others.values()))
    if least == 1:
        return "One seed tells nothing apart: another may order them otherwise."
    near = [name for name, scores in others.items() if _overlap(best, scores)]
    if near:
        names = _listed(near)
        what = "ranges" if least < LEAST else "95 % intervals"
        return f"The best is not told apart from {names} by {least} seeds: their {what} overlap."
    if least < LEAST:
        return f"{least} seeds are too few to tell them apart, though no ranges overlap."
    return ""


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = "; ".join(names[:MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _overlap(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether intervals overlap, or ranges where one has too few seeds for an interval."""
    few = min(len(ours), len(theirs)) < LEAST
    (low, high), (other_low, other_high) = (
        (min(scores), max(scores)) if few else _interval(summarize_seeds(scores))
        for scores in (ours, theirs)
    )
    return low <= other_high and other_low <= high


def _interval(summary: SeedSummary) -> tuple[float, float]:
    return summary.low, summary.high
