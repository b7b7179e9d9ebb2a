"""What the report says of episodes."""

from collections.abc import Sequence
from pathlib import Path

from world_models.data.tables import EpisodeLine
from world_models.figures import plots
from world_models.figures.plots import HALF
from world_models.figures.wording import number, plus_minus
from world_models.report.curves import finite
from world_models.report.headline import Headline
from world_models.report.page import Section
from world_models.report.set_aside import add_set_aside
from world_models.report.verdict import Finding
from world_models.runs.metrics import read_column, read_rows
from world_models.runs.rows import captions

TITLE = "Episodes"
LEAD = "What the models learn from: episodes played by a simple policy."
BY_RETURN = captions(EpisodeLine)["return"]
BY_LENGTH = captions(EpisodeLine)["length"]
FRAMES = "Frames of some episodes, from first to last"
CAPTIONS = (BY_RETURN, BY_LENGTH, FRAMES)


def headline(folder: Path) -> Headline | None:
    """The mean return of the episodes."""
    returns = read_column(folder / "episodes.csv", EpisodeLine, "return")
    if not returns.size:
        return None
    return Headline("mean return", float(returns.mean()), True, float(returns.std()))


def findings(folder: Path) -> list[Finding]:
    """Whether there is something to learn from, and something to judge by."""
    return episodes_findings(read_rows(folder / "episodes.csv", EpisodeLine))


def episodes_findings(rows: Sequence[EpisodeLine]) -> list[Finding]:
    """Returns must differ for rewards to be learned, and some episodes be held out."""
    if not rows:
        return []
    low, high = (pick(row.total_return for row in rows) for pick in (min, max))
    held_out = sum(row.split == "validation" for row in rows)
    of_all = f"{held_out} of {len(rows)} episodes are held out"
    if low < high:
        returns = Finding(True, f"Returns differ, from {number(low)} to {number(high)}.")
    else:
        returns = Finding(
            False, f"All {len(rows)} episodes have the return {number(low)}: rewards teach nothing."
        )
    judged = Finding(True, f"{of_all}, for judging.")
    if not held_out:
        judged = Finding(False, f"{of_all}: models are judged on what they were trained on.")
    return [returns, judged]


def fill(section: Section) -> None:
    """How many there are, how long and how good they are, and some frames."""
    rows = section.rows("episodes.csv", EpisodeLine)
    lengths = finite(rows, "length")
    returns = finite(rows, "total_return")
    if lengths.size:
        section.headline = (f"{lengths.size:,}", f"episodes, {lengths.sum():,.0f} steps")
        section.facts += [("Episodes", f"{lengths.size:,}"), ("Steps", f"{lengths.sum():,.0f}")]
        section.facts.append(("Mean length", f"{number(lengths.mean())} steps"))
    if returns.size:
        section.facts.append(
            ("Return, mean ± standard deviation", plus_minus(returns.mean(), returns.std()))
        )
    section.plot(plots.histogram(returns, "return", HALF, BY_RETURN), BY_RETURN, HALF)
    section.plot(plots.histogram(lengths, "steps", HALF, BY_LENGTH), BY_LENGTH, HALF)
    section.show(section.folder / "images" / "frames.png", FRAMES, section.pictures)
    add_set_aside(section)
