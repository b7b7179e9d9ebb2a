"""What the report says of a search: returns by generation, scores beside a published search, how
far it came."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, HALF, ORANGE, WIDE, Band
from world_models.figures.wording import number
from world_models.measures.search_rows import (
    DreamtRow,
    FinalistRow,
    GenerationRow,
    PublishedRow,
    SelectionRow,
    grown,
)
from world_models.report.curves import finite, line, values
from world_models.report.headline import Headline
from world_models.report.page import Section
from world_models.report.verdict import Finding
from world_models.runs.metrics import read_column, read_rows
from world_models.runs.rows import TimingRow, captions

TITLE = "C · controller"
LEAD = "A small controller acts on what V and M give it; CMA-ES searches for its weights."
HEADS_A_CHAIN = True
RETURNS = "Return in each generation"
SEARCH_NOTE = (
    "Best, mean and worst candidate; "
    "dots: the mean vector on the selection episodes, with its 95 % interval; ring: its best"
)
DREAM_NOTE = (
    "Best, mean and worst candidate, in the dream; "
    "dots: the mean vector on the selection episodes, for real, with its 95 % interval"
)
DREAM_AND_REAL = "Dream and real"
GAP_NOTE = (
    "The mean vector in the same dreams each time, and on the selection episodes; "
    "a gap that grows says that the search exploits what M gets wrong"
)
PUBLISHED_AXES = {
    "episodes": "episodes played by candidates",
    "hours": "hours of search, tests included",
}
PUBLISHED_NOTE = (
    "Orange: the mean vector of this search; grey: that of Ha & Schmidhuber (2018), on 64 cores"
)
DREAM_STEPS = "Steps in the dream"
COUNTS = {"generation": "Generations", "episodes": "Episodes", "env_steps": "Environment steps"}
CAPTIONS = (RETURNS, DREAM_AND_REAL, *captions(GenerationRow).values())


def headline(folder: Path) -> Headline | None:
    """The selection score of the agent: the best of the last round of finalists, where there was
    one, or of all tests."""
    finals = read_rows(folder / "finalists.csv", FinalistRow)
    decided = [row for row in finals if np.isfinite(row.overall)]
    if decided:
        last = max(row.generation for row in decided)
        best = max(row.overall for row in decided if row.generation == last)
        return Headline("selection score", best, True)
    tested = np.concatenate(
        [
            read_column(folder / "selection.csv", SelectionRow, name)
            for name in ("mean", "candidate")
        ]
    )
    return Headline("selection score", float(tested.max()), True) if tested.size else None


def findings(folder: Path) -> list[Finding]:
    """What the search came to beside what it began with."""
    selection = read_rows(folder / "selection.csv", SelectionRow)
    dreamt = read_rows(folder / "dreamt.csv", DreamtRow)
    if dreamt:
        return [*real_findings(selection), *gap_findings(dreamt)]
    return search_findings(read_rows(folder / "metrics.csv", GenerationRow), selection)


def search_findings(
    metrics: Sequence[GenerationRow], selection: Sequence[SelectionRow]
) -> list[Finding]:
    """The best test of the mean vector must lie above the first generation's mean."""
    if not metrics:
        return []
    first = metrics[0]
    return _raised(selection, first.mean, f"the mean of generation {first.generation}")


def real_findings(selection: Sequence[SelectionRow]) -> list[Finding]:
    """Of a search in a dream: the best test must lie above the first, for both are real."""
    if len(selection) < 2:
        return []
    first, *later = selection
    return _raised(later, first.mean, f"the test after generation {first.generation}")


def gap_findings(dreamt: Sequence[DreamtRow]) -> list[Finding]:
    """Of a search in a dream: a gap that grows from test to test is no good sign."""
    if not grown(dreamt):
        return []
    before, now = dreamt[-4], dreamt[-1]
    return [
        Finding(
            False,
            "The dream promises more and more: in the last three tests the gap between its score "
            f"and the real one has grown, from {number(before.gap)} to {number(now.gap)} "
            f"(dream {number(now.dream)}, real {number(now.real)}).",
        )
    ]


def _raised(selection: Sequence[SelectionRow], first: float, what: str) -> list[Finding]:
    """The best test of the mean vector beside what it began with."""
    tested = [row for row in selection if np.isfinite([row.mean, row.low, row.high]).all()]
    if not tested or not np.isfinite(first):
        return []
    best = max(tested, key=lambda row: row.mean)
    good = best.low > first
    so = "has raised" if good else "has not clearly raised"
    interval = f"95 % interval {number(best.low, best.mean)} to {number(best.high, best.mean)}"
    began = f"{number(first)}, {what}"
    to = f"{number(best.mean)} ({interval}) in the test after generation {best.generation}"
    return [Finding(good, f"The search {so} the return: from {began}, to {to}.")]


def fill(section: Section) -> None:
    """Plots of the search, the agent's score, and what was played."""
    metrics = section.rows("metrics.csv", GenerationRow)
    selection = section.rows("selection.csv", SelectionRow)
    returns = Band(*(values(metrics, name) for name in ("generation", "worst", "mean", "best")))
    tests = Band(*(values(selection, name) for name in ("generation", "low", "mean", "high")))
    dreamt = section.rows("dreamt.csv", DreamtRow)
    note = DREAM_NOTE if dreamt else SEARCH_NOTE
    section.plot(plots.search(returns, tests, RETURNS), RETURNS, note=note)
    if dreamt:
        _add_dream(section, dreamt)
    for name in ("sigma", "length"):
        caption = captions(GenerationRow)[name]
        curve = line(name, BLUE, metrics, name, x="generation")
        section.plot(plots.curves(curve, "generation", HALF, caption), caption, HALF)
    _add_published(section, metrics, selection)
    _add_score(section)
    for name, label in COUNTS.items():
        if (counts := finite(metrics, name)).size:
            said = DREAM_STEPS if dreamt and name == "env_steps" else label
            section.facts.append((said, f"{counts[-1]:,.0f}"))


def _add_dream(section: Section, dreamt: Sequence[DreamtRow]) -> None:
    """What the dream promised the mean vector, and what it got."""
    lines = [
        *line("dream", BLUE, dreamt, "dream", x="generation", marked=True),
        *line("real", ORANGE, dreamt, "real", x="generation", marked=True),
    ]
    section.plot(
        plots.curves(lines, "generation", WIDE, DREAM_AND_REAL), DREAM_AND_REAL, note=GAP_NOTE
    )


def _add_score(section: Section) -> None:
    try:
        best = headline(section.folder)
    except ValueError as error:
        section.note(str(error))
        return
    if best is not None:
        section.headline = (number(best.value), best.name)
        section.facts.append((best.name.capitalize(), number(best.value)))


def _add_published(
    section: Section, metrics: Sequence[GenerationRow], selection: Sequence[SelectionRow]
) -> None:
    """What the search has cost so far for its scores, beside a published one where there is one
    for this environment."""
    published = section.rows("reference.csv", PublishedRow)
    timing = section.rows("timing.csv", TimingRow) if published else []
    hours = _hours(timing)
    episodes = {row.generation: row.episodes for row in metrics}
    tested = [row for row in selection if row.generation in episodes and row.generation in hours]
    if not tested:
        return
    scores = values(tested, "mean")
    ours = {
        "episodes": np.array([episodes[row.generation] for row in tested]),
        "hours": np.array([hours[row.generation] for row in tested]),
    }
    for name, axis in PUBLISHED_AXES.items():
        caption = captions(PublishedRow)[name]
        theirs = (values(published, name), values(published, "mean_vector"))
        plot = plots.beside_published((ours[name], scores), theirs, axis)
        section.plot(plot, caption, HALF, PUBLISHED_NOTE)


def _hours(timing: Sequence[TimingRow]) -> dict[int | None, float]:
    """Hours from the beginning to the end of each generation, tests included; none where these
    were not timed."""
    seconds = values(timing, "seconds") + values(timing, "test_seconds")
    totals = np.cumsum(seconds) / 3600
    return {
        row.generation: float(total)
        for row, total in zip(timing, totals, strict=True)
        if np.isfinite(total)
    }
