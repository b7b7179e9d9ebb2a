"""What the report says of a run in which tokenizer, world model and behaviour learn in turns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, HALF, ORANGE, WIDE, Line
from world_models.figures.wording import number
from world_models.measures.played import EpochRow, PlayedRow
from world_models.measures.token_rows import TokenWorldRow
from world_models.measures.tokenizer_rows import TokenizerRow
from world_models.report.actor_critic import (
    LENGTHS,
    RETURNS,
    WORDS,
    add_played,
    add_updates,
    played_findings,
    played_headline,
)
from world_models.report.curves import line, values
from world_models.report.headline import Headline
from world_models.report.page import Section
from world_models.report.tokenizer import PICTURES
from world_models.report.verdict import Finding, Scale, Side, better
from world_models.runs.metrics import read_rows
from world_models.runs.rows import captions

TITLE = "World of tokens"
LEAD = (
    "In each epoch the agent collects, then tokenizer, world model and behaviour learn, one after "
    "the other."
)
HEADS_A_CHAIN = True
PLAYED, EPOCHS = "behaviour_played.csv", "behaviour_epochs.csv"
TOKENIZER, WORLD = "tokenizer_val_metrics.csv", "world_val_metrics.csv"
CHANGED = "Changed tokens that are foreseen, held-out"
BESIDE = (
    "In percent; likeliest: the token that is most frequent at its place; copy: the frame before"
)
PSNR = captions(TokenizerRow)["psnr"]
COLLECTED = captions(EpochRow)["mean"]
FILMS = {
    "collected": "Episodes as they were collected",
    "played": "The agent in the environment",
    "imagined": "The agent in the world model",
}
"""Videos, and what is said above them."""
REDRAWN = PICTURES["reconstructions"]
CAPTIONS = (RETURNS, LENGTHS, COLLECTED, PSNR, CHANGED, REDRAWN, *WORDS.values(), *FILMS.values())


def headline(folder: Path) -> Headline | None:
    """The mean return in the environment when it was played last: that of agent.pt."""
    return played_headline(read_rows(folder / PLAYED, PlayedRow), last=True)


def findings(folder: Path) -> list[Finding]:
    """The agent beside chance, and the world model beside how often each token is anywhere."""
    rows = read_rows(folder / WORLD, TokenWorldRow)
    played = read_rows(folder / PLAYED, PlayedRow)
    return [*played_findings(played, last=True), *world_findings(rows)]


def world_findings(rows: Sequence[TokenWorldRow]) -> list[Finding]:
    """The newest world model on tokens that change, where a copy of the last frame gets none."""
    if not rows:
        return []
    last = rows[-1]
    sides = (
        Side("the world model", 100 * last.accuracy_changed),
        Side("the likeliest token of each place", 100 * last.unigram_accuracy_changed),
    )
    return better(*sides, "foresees changed tokens", Scale("accuracy", " %"))


def fill(section: Section) -> None:
    """Returns against steps of the environment; how good tokenizer and world model became."""
    words, played = "steps of the environment", section.rows(PLAYED, PlayedRow)
    add_played(section, played, "env_steps", words, last=True)
    epochs = section.rows(EPOCHS, EpochRow)
    if epochs:
        section.facts.append(("Steps of the environment", f"{epochs[-1].env_steps:,}"))
    collected = line("collected", BLUE, epochs, "mean", "env_steps")
    section.plot(plots.curves(collected, words, HALF, COLLECTED), COLLECTED, HALF)
    pictures = line("tokenizer", BLUE, section.rows(TOKENIZER, TokenizerRow), "psnr", "epoch", True)
    section.plot(plots.curves(pictures, "epoch", HALF, PSNR), PSNR, HALF)
    _add_world(section, section.rows(WORLD, TokenWorldRow))
    add_updates(section, section.table("behaviour_metrics.csv"))
    picture = section.folder / "images" / "reconstructions.png"
    section.show(picture, REDRAWN, section.pictures)
    for name, caption in FILMS.items():
        section.show(section.folder / "videos" / f"{name}.mp4", caption, section.videos)


def _add_world(section: Section, rows: Sequence[Any]) -> None:
    if not rows:
        return
    section.facts.append((CHANGED, f"{number(100 * rows[-1].accuracy_changed)} %"))
    x = values(rows, "epoch")
    lines = [
        Line("world model", ORANGE, x, 100 * values(rows, "accuracy_changed"), marked=True),
        Line("likeliest", GREY, x, 100 * values(rows, "unigram_accuracy_changed")),
        Line("copy", GREY, x, np.zeros(len(x))),
    ]
    section.plot(plots.curves(lines, "epoch", WIDE, CHANGED), CHANGED, note=BESIDE)
