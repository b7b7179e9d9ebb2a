"""What the report says of an agent that learns in a world of tokens."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, HALF, ORANGE, WIDE, Line, Table
from world_models.figures.wording import number
from world_models.measures.played import AGENT, RANDOM, PlayedRow
from world_models.report.curves import table_line, values
from world_models.report.headline import Headline
from world_models.report.page import Section
from world_models.report.verdict import Finding, Scale, Side, better
from world_models.runs.metrics import read_rows
from world_models.runs.rows import captions

TITLE = "Behaviour"
LEAD = "An actor-critic learns what to do in frames that a world model of tokens imagines."
HEADS_A_CHAIN = True
WORDS = {
    "loss": "Loss",
    "reward": "Reward of a step that is learned from",
    "return": "Return of it, discounted",
    "value": "Value that the critic gives it",
    "actor": "Loss of the actor",
    "critic": "Loss of the critic",
    "entropy": "Entropy of the policy, in nats",
    "grad_norm": "Norm of the gradient before clipping",
}
RETURNS = captions(PlayedRow)["mean"]
LENGTHS = captions(PlayedRow)["length"]
CAPTIONS = (RETURNS, LENGTHS, *WORDS.values())


def headline(folder: Path) -> Headline | None:
    """The best mean return in the environment so far."""
    return played_headline(read_rows(folder / "played.csv", PlayedRow))


def played_headline(rows: Sequence[PlayedRow], last: bool = False) -> Headline | None:
    """The mean return of the agent that a run leaves, the best or the `last`; None without one."""
    returns = [row.mean for row in rows if row.player == AGENT]
    if not returns:
        return None
    return Headline("mean return", returns[-1] if last else max(returns), True)


def findings(folder: Path) -> list[Finding]:
    """The agent beside chance on the same episodes."""
    return played_findings(read_rows(folder / "played.csv", PlayedRow))


def played_findings(rows: Sequence[PlayedRow], last: bool = False) -> list[Finding]:
    """The agent that a run leaves, the best or the `last`, beside chance."""
    left = played_headline(rows, last)
    chance = [row.mean for row in rows if row.player == RANDOM]
    if left is None or not chance:
        return []
    sides = Side("the agent", left.value), Side("chance", chance[0])
    return better(*sides, "plays", Scale("mean return"))


def fill(section: Section) -> None:
    """Returns for real, and what the updates say."""
    add_played(section, section.rows("played.csv", PlayedRow), "step", "updates")
    add_updates(section, section.table("metrics.csv"))


def add_played(
    section: Section, rows: Sequence[PlayedRow], against: str, words: str, last: bool = False
) -> None:
    """Returns and lengths of the agent, and of chance beside it, against a column."""
    mine = [row for row in rows if row.player == AGENT]
    chance = [row for row in rows if row.player == RANDOM]
    left = played_headline(rows, last)
    if left is None:
        return
    section.headline = (number(left.value), "mean return in the environment")
    if chance:
        section.aside = (number(chance[0].mean), "by chance")
    section.facts.append(("Episodes played for real, each time", f"{mine[0].episodes:,}"))
    x = values(mine, against)
    for name, caption, size in (("mean", RETURNS, WIDE), ("length", LENGTHS, HALF)):
        lines = [Line("agent", ORANGE, x, values(mine, name), marked=True)]
        if chance:
            lines.append(Line("chance", GREY, x, np.full(len(x), values(chance, name)[0])))
        section.plot(plots.curves(lines, words, size, caption), caption, size)


def add_updates(section: Section, table: Table) -> None:
    """The terms of the updates."""
    for name, words in WORDS.items():
        lines = table_line(name, BLUE, table, name)
        section.plot(plots.curves(lines, "update", HALF, words), words, HALF)
