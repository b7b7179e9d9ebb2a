"""Whether a stage's result is good: its numbers beside those that it must beat, in sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from world_models.figures.wording import number
from world_models.report.modules import report_of
from world_models.runs.past import PastRun

MOST_DECIMALS = 6


@dataclass(frozen=True)
class Finding:
    """How one comparison came out, in a sentence that names both numbers."""

    good: bool
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What all comparisons of a stage come to: good, bad or mixed; the bad ones are said first."""

    word: str
    sentences: list[str]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its name in the middle of a sentence, and its number."""

    name: str
    value: float


@dataclass(frozen=True)
class Scale:
    """What the numbers of both sides measure."""

    name: str
    unit: str = ""
    larger_is_better: bool = True


PSNR = Scale("PSNR", " dB")


def verdict(findings: Sequence[Finding]) -> Verdict | None:
    """The verdict; None where nothing was compared."""
    if not findings:
        return None
    outcomes = {finding.good for finding in findings}
    word = "good" if True in outcomes else "bad"
    if len(outcomes) == 2:
        word = "mixed"
    ordered = sorted(findings, key=lambda finding: finding.good)
    return Verdict(word, [finding.sentence for finding in ordered])


def verdict_of(folder: Path) -> Verdict | None:
    """The verdict on the run of one stage; None for a chain and where nothing was compared.

    A damaged file is a ValueError.
    """
    report = report_of(PastRun(folder).stage)
    return None if report is None else verdict(report.findings(folder))


def better(ours: Side, theirs: Side, deed: str, scale: Scale) -> list[Finding]:
    """Who does `deed` better; nothing where one of the numbers is not there."""
    if not math.isfinite(ours.value + theirs.value):
        return []
    good = ours.value > theirs.value if scale.larger_is_better else ours.value < theirs.value
    if ours.value == theirs.value:
        what = f"{ours.name} {deed} no better than {theirs.name}: both have {scale.name}"
        return [Finding(False, capital(f"{what} {number(ours.value)}{scale.unit}."))]
    winner, loser = (ours, theirs) if good else (theirs, ours)
    numbers = " against ".join(apart(winner.value, loser.value))
    what = f"{winner.name} {deed} better than {loser.name}: {scale.name} {numbers}"
    return [Finding(good, capital(f"{what}{scale.unit}."))]


def apart(*values: float) -> list[str]:
    """Two or more numbers with as many decimals as it takes to tell them apart."""
    written = [number(value) for value in values]
    decimals = 2
    while len(set(written)) < len(set(values)) and decimals < MOST_DECIMALS:
        decimals += 1
        written = [f"{value:,.{decimals}f}".replace("-", "−") for value in values]
    return written


def capital(sentence: str) -> str:
    """With its first letter as a sentence has it."""
    return sentence[:1].upper() + sentence[1:]
