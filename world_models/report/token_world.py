"""What the report says of a token world model: what it foresees beside what needs no model."""

import math
from collections.abc import Sequence
from pathlib import Path

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREEN, GREY, HALF, ORANGE, WIDE
from world_models.figures.wording import number
from world_models.measures.rows import StepRow
from world_models.measures.token_rows import CountRow, TokenHorizonRow, TokenWorldRow
from world_models.report.curves import line
from world_models.report.headline import Headline
from world_models.report.next_frames import show_latest
from world_models.report.page import Listing, Section
from world_models.report.training import fill_training
from world_models.report.verdict import Finding, Scale, Side, better
from world_models.runs.metrics import read_rows
from world_models.runs.rows import captions

TITLE = "Token world"
LEAD = "A model of tokens foresees the next frame, the reward and the end from what was done."
FORESEEN = "changed tokens foreseen"
HORIZONS = "Dreams under recorded actions: changed tokens foreseen, frames ahead"
COUNTS = "Frames with something doubled, and with something lost"
STRIP = "Held-out episodes from a frame on, and the likeliest dream under the same actions"
ELSEWHERE = (
    *("tokens", "unigram", "changed", "unigram_changed", "accuracy", "accuracy_changed"),
    *("copy_accuracy", "unigram_accuracy_changed", "ends", "end_recall", "end_precision"),
    *("rewards", "reward_recall", "reward_precision"),
)
"""Columns of val_metrics.csv that have a plot of their own, or none."""
WORDS = captions(TokenWorldRow)
CAPTIONS = (*WORDS.values(), captions(StepRow)["grad_norm"], HORIZONS, STRIP, COUNTS)
NATS = Scale("cross-entropy", " nats", larger_is_better=False)
SHARE = Scale("share")
FAR = (1, 2, 4, 8)
"""Frames ahead that the findings look at."""
FOUND = 0.9
"""Of ends and rewards, so many must be found."""


def headline(folder: Path) -> Headline | None:
    """How much of what changes the best model foresees."""
    best = best_row(read_rows(folder / "val_metrics.csv", TokenWorldRow))
    return None if best is None else Headline(FORESEEN, best.accuracy_changed, True)


def best_row(rows: Sequence[TokenWorldRow]) -> TokenWorldRow | None:
    """The row of the least loss; None before the first whole one."""
    whole = [row for row in rows if math.isfinite(row.loss)]
    return min(whole, key=lambda row: row.loss, default=None)


def findings(folder: Path) -> list[Finding]:
    """The best model beside what needs none; ends and rewards that it finds; its dreams."""
    best = best_row(read_rows(folder / "val_metrics.csv", TokenWorldRow))
    found = [] if best is None else _one_ahead(best)
    for row in read_rows(folder / "open_loop.csv", TokenHorizonRow):
        found += far_ahead(row)
    return found


def _one_ahead(row: TokenWorldRow) -> list[Finding]:
    found = better(
        Side("the model", row.changed),
        Side("how often tokens come", row.unigram_changed),
        "foresees changed tokens",
        NATS,
    )
    for what, count, recall in (
        ("ends", row.ends, row.end_recall),
        ("rewards", row.rewards, row.reward_recall),
    ):
        if math.isfinite(recall):
            found.append(
                Finding(recall >= FOUND, f"Of {count:,} {what}, {recall:.0%} are foreseen.")
            )
    return found


def far_ahead(row: TokenHorizonRow) -> list[Finding]:
    """The likeliest dream beside guesses, at the horizons FAR."""
    if row.horizon not in FAR:
        return []
    deed = f"foresees changed tokens, {row.horizon} frame{'s' * (row.horizon > 1)} ahead,"
    theirs = Side("how often tokens come", row.unigram_accuracy_changed)
    found = better(Side("the dream", row.accuracy_changed), theirs, deed, SHARE)
    deed = f"foresees tokens, {row.horizon} frame{'s' * (row.horizon > 1)} ahead,"
    copy = Side("the last frame", row.copy_accuracy)
    return found + better(Side("the dream", row.accuracy), copy, deed, SHARE)


def fill(section: Section) -> None:
    """Headline, facts, plots, tables and the latest dreams, as far as the files are there."""
    val = section.rows("val_metrics.csv", TokenWorldRow)
    _add_tokens(section, val)
    fill_training(section, TokenWorldRow, ELSEWHERE)
    _lead_with_changes(section, val)
    add_horizons(section, section.rows("open_loop.csv", TokenHorizonRow))
    _add_counts(section, section.rows("counts.csv", CountRow))
    show_latest(section, "images", "dream_step_*.png", STRIP)


def _add_tokens(section: Section, val: Sequence[TokenWorldRow]) -> None:
    """What is foreseen one step ahead, beside how often tokens come, and copying."""
    lines = [
        *line("model", BLUE, val, "accuracy_changed", marked=True),
        *line("unigram", GREY, val, "unigram_accuracy_changed"),
    ]
    caption = WORDS["accuracy_changed"]
    note = "Copying the frame before foresees none of them"
    section.plot(plots.curves(lines, "step", WIDE, caption), caption, WIDE, note)
    for name, beside in (("changed", "unigram_changed"), ("tokens", "unigram")):
        lines = [
            *line("model", BLUE, val, name, marked=True),
            *line("unigram", GREY, val, beside),
        ]
        section.plot(plots.curves(lines, "step", HALF, WORDS[name]), WORDS[name], HALF, "nats")


def _lead_with_changes(section: Section, val: Sequence[TokenWorldRow]) -> None:
    best = best_row(val)
    if best is None:
        return
    share, guess = (
        f"{value:.0%}" for value in (best.accuracy_changed, best.unigram_accuracy_changed)
    )
    section.headline = (share, f"of changed tokens foreseen, one frame ahead; unigram {guess}")
    section.facts += [
        ("Tokens foreseen", f"{best.accuracy:.1%} (copying {best.copy_accuracy:.1%})"),
        ("Nats a token", f"{number(best.tokens)} (unigram {number(best.unigram)})"),
        (
            "Nats a changed token",
            f"{number(best.changed)} (unigram {number(best.unigram_changed)})",
        ),
        ("Ends", _found(best.ends, best.end_recall, best.end_precision)),
        ("Rewards", _found(best.rewards, best.reward_recall, best.reward_precision)),
    ]


def _found(count: int, recall: float, precision: float) -> str:
    if not math.isfinite(recall):
        return "none among held-out steps"
    said = "none" if not math.isfinite(precision) else f"{precision:.0%}"
    return f"{recall:.0%} of {count:,} foreseen; of those foreseen {said} come"


def add_horizons(section: Section, rows: Sequence[TokenHorizonRow]) -> None:
    """How right the likeliest dream is, by frames ahead."""
    lines = [
        *line("dream", BLUE, rows, "accuracy_changed", "horizon", marked=True),
        *line("unigram", GREY, rows, "unigram_accuracy_changed", "horizon"),
        *line("exact", GREEN, rows, "exact", "horizon", marked=True),
        *line("copied", ORANGE, rows, "copy_exact", "horizon"),
    ]
    note = (
        "Changed: other than in the last frame that was seen. Exact: frames without an error; "
        "copied: those that the last frame has right"
    )
    section.plot(plots.curves(lines, "frames ahead", WIDE, HORIZONS), HORIZONS, WIDE, note)


def _add_counts(section: Section, rows: Sequence[CountRow]) -> None:
    if rows:
        cells = [[row.drawn, f"{row.doubled:.1%}", f"{row.lost:.1%}"] for row in rows]
        section.listings.append(Listing(COUNTS, ["frames", "doubled", "lost"], cells))
