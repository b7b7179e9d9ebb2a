"""Malformed and hostile files of every kind: a sentence, or the same result; nothing else.

The slow part prints the rows of the table in docs/results/real_life (pytest -s).
"""

import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzz.kinds import KINDS, Kind

SECONDS = 20
"""A reader that takes longer hangs."""
OUTCOMES = ("refused", "same", "traceback", "hang", "silent")
FEW, MANY = 14, 75
COSTLY = {"agent.pt": 4, "best.pt of pixel": 2}
"""Kinds whose files are large are tried so many times less often."""


class HangError(Exception):
    """What interrupts a reader that hangs."""


@contextmanager
def limited() -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(kind: Kind, path: Path, whole: Any) -> tuple[str, str]:
    """What a reader makes of a damaged file: an outcome, and a word on it."""
    try:
        with limited():
            found = kind.read(path)
    except ValueError as error:
        return "refused", str(error)
    except HangError:
        return "hang", ""
    except Exception as error:
        return "traceback", repr(error)
    return ("same" if found == whole else "silent"), ""


def fuzzed(kind: Kind, folder: Path, tries: int) -> tuple[Counter[str], list[str]]:
    """Damages one file over and over; counts of the outcomes, and the bad ones in words."""
    counts: Counter[str] = Counter()
    bad = []
    (folder / "whole").mkdir(parents=True)
    path = kind.make(folder / "whole")
    place = path.relative_to(folder / "whole")
    whole = kind.read(path)
    for number in range(tries):
        copied = folder / "copy"
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(folder / "whole", copied)
        draw = random.Random(f"{kind.name} {number}")
        what = kind.changes[number % len(kind.changes)](copied / place, draw)
        outcome, word = attempt(kind, copied / place, whole)
        counts[outcome] += 1
        if outcome not in ("refused", "same"):
            bad.append(f"{kind.name} {number}: {outcome}: {what}: {word}")
    return counts, bad


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_some_damaged_files_of_each_kind(kind: Kind, tmp_path: Path) -> None:
    counts, bad = fuzzed(kind, tmp_path, FEW // COSTLY.get(kind.name, 1))
    assert not bad, bad
    assert counts["refused"] > 0, counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_many_damaged_files_of_each_kind(
    kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts, bad = fuzzed(kind, tmp_path, MANY // COSTLY.get(kind.name, 1))
    with capsys.disabled():
        sys.stdout.write(row(kind, counts))
    assert not bad, bad


def row(kind: Kind, counts: Counter[str]) -> str:
    """A row of the table: tried, and how often each outcome was."""
    cells = [kind.name, sum(counts.values()), *(counts[name] for name in OUTCOMES)]
    return f"\n| {' | '.join(map(str, cells))} |"
