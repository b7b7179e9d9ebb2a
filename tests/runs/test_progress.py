"""Long work is never silent: a bar on a terminal, lines elsewhere."""

import logging
import time
from collections.abc import Callable

import pytest

from world_models.runs import progress
from world_models.runs.progress import ProgressBar, tracked

QUICK = 0.05
"""Seconds between two lines, here."""


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list]:
    """What bars have said since the last call, with a line due every QUICK seconds."""
    monkeypatch.setattr(progress, "LOG_SECONDS", QUICK)
    caplog.set_level(logging.INFO, "world_models")

    def said() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return said


def test_progress_says_rate_and_time_left_when_there_is_no_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("world_models.runs.progress.LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "world_models"), ProgressBar("rollout", 10) as bar:
        bar.advance(4, 400)
    assert "rollout 4/10" in caplog.text and "steps/s" in caplog.text and "left" in caplog.text


@pytest.mark.parametrize("total", [10, None])
def test_progress_on_a_terminal(
    total: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("world_models.runs.progress._console_says_info", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with ProgressBar("search", total) as bar:
        bar.advance(1, 50)
        bar.expect(4)
        bar.advance(1, 50, "mean 3")
        bar._bar.refresh()
    assert "search" in capsys.readouterr().err


def test_a_bar_that_nobody_advances_speaks(lines: Callable[[], list[str]]) -> None:
    with ProgressBar("play", 8) as bar:
        bar.advance(2)
        time.sleep(4 * QUICK)
    assert len(lines()) >= 2
    time.sleep(3 * QUICK)
    assert lines() == [], "one that is closed does not"


def test_the_innermost_bar_speaks(lines: Callable[[], list[str]]) -> None:
    with ProgressBar("train", 9):
        with ProgressBar("judge", 3):
            time.sleep(4 * QUICK)
        inner = lines()
        time.sleep(4 * QUICK)
        outer = lines()
    assert inner and all(line.startswith("judge 0/3") for line in inner)
    assert outer and all(line.startswith("train 0/9") for line in outer)


def test_many_short_bars_are_not_silent_together(lines: Callable[[], list[str]]) -> None:
    with ProgressBar("train", 9):
        for _ in range(12):
            with ProgressBar("judge", 3):
                time.sleep(QUICK / 4)
    assert lines()


def test_a_bar_that_an_error_left_open_is_silent_afterwards(
    lines: Callable[[], list[str]],
) -> None:
    kept = tracked("left open", range(3), 3)
    with pytest.raises(KeyError), ProgressBar("train", 9):
        next(kept)
        raise KeyError
    lines()
    time.sleep(3 * QUICK)
    assert lines() == [] and not progress._open


@pytest.mark.parametrize(
    ("total", "done", "said"),
    [
        (10, 4, "search 4/10, 2 games/s mean 3, 0:03 left"),
        (None, 4, "search 4 so far, 2 games/s mean 3"),
        (10, 0, "search 0/10, 0:02 so far"),
        (None, 0, "search, 0:02 so far"),
    ],
)
def test_a_line_in_words(total: int | None, done: int, said: str) -> None:
    bar = ProgressBar("search", total, rate_unit="games")
    bar._began -= 2
    bar._note = "mean 3"
    bar._done, bar.work = done, done
    assert bar._line() == said


@pytest.mark.parametrize(("rate", "shown"), [(1234.4, "1,234"), (10.4, "10"), (0.26, "0.26")])
def test_slow_work_has_a_rate(rate: float, shown: str) -> None:
    bar = ProgressBar("search", 10)
    bar._began -= 1000
    bar.work = rate * 1000
    assert bar._pace() == f"{shown} steps/s"


def test_tracked_counts_what_is_done(lines: Callable[[], list[str]]) -> None:
    for item in tracked("files", ["a", "b"], 2, "files"):
        if item == "b":
            time.sleep(3 * QUICK)
    assert lines()[0].startswith("files 1/2")


def test_a_terminal_shows_bars_in_one_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("world_models.runs.progress._console_says_info", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with ProgressBar("train", 3) as outer, ProgressBar("judge", 3):
        outer._bar.refresh()
    shown = capsys.readouterr().err
    assert "train" in shown and "judge" in shown
