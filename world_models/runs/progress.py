"""Progress of long work, with rate and time left: a bar on a terminal, log lines elsewhere."""

import logging
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

from world_models.runs.signals import check

log = logging.getLogger(__name__)

T = TypeVar("T")

LOG_SECONDS = 10.0
"""Where there is no terminal, a line follows the last one after so many seconds."""
LOOKS = 5
"""So often in that time a bar that is not advanced looks whether a line is due."""

_open: list["ProgressBar"] = []
"""Bars at work; the innermost, which speaks for all, is the last."""


class ProgressBar:
    """Counts from `start` to `total` (None: not known yet).

    `rate_unit` names what `advance(work=...)` counts. An open bar is never silent for long, also
    where nothing advances it. Bars may lie in one another.
    """

    _said = 0.0
    """When one of the open bars last said something."""

    def __init__(
        self, label: str, total: int | None, start: int = 0, rate_unit: str = "steps"
    ) -> None:
        self._label, self._total, self._done, self._unit = label, total, start, rate_unit
        self._first, self.work, self._note = start, 0.0, ""
        self._began = time.monotonic()
        # jobs side by side would draw over each other
        alone = multiprocessing.parent_process() is None
        visible = alone and sys.stderr.isatty() and _console_says_info()
        self._bar = _bar() if visible else None
        self._closed = threading.Event()

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(
                self._label,
                total=self._total,
                completed=self._done,
                note="",
                count=self._count(),
            )
        else:
            self._speak_from_now_on()
        return self

    def _speak_from_now_on(self) -> None:
        if not _open:
            ProgressBar._said = time.monotonic()
        _open.append(self)
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self in _open:
            # with those inside that an error left open
            del _open[_open.index(self) :]
        self._closed.set()

    def _watch(self) -> None:
        """Say how it stands where nobody calls `advance`, in a thread of its own."""
        while not self._closed.wait(LOG_SECONDS / LOOKS) and self in _open:
            if _open[-1:] == [self]:
                self._say_if_due()

    def advance(self, count: int = 1, work: float | None = None, note: str = "") -> None:
        """Count `count` more items and `work` units of the rate (default: the items).

        `note` is said beside them.
        """
        check()
        self._done += count
        self.work += count if work is None else work
        self._note = note
        if self._bar is not None:
            text = f"{self._pace()} {note}"
            self._bar.update(
                self._task,
                completed=self._done,
                total=self._total,
                note=text,
                count=self._count(),
            )
        else:
            self._say_if_due()

    def _say_if_due(self) -> None:
        now = time.monotonic()
        if now - ProgressBar._said >= LOG_SECONDS:
            ProgressBar._said = now
            log.info("%s", self._line())

    def _line(self) -> str:
        """How it stands, in words."""
        total = "" if self._total is None else f"/{self._total}"
        done = f"{self._label} {self._done}{total}"
        if self._done == self._first:
            begun = done if total else self._label
            return f"{begun}, {_minutes(self.seconds)} so far"
        pace = f"{self._pace()} {self._note}".strip()
        return f"{done}, {pace}, {self._left()} left" if total else f"{done} so far, {pace}"

    def _count(self) -> str:
        return f"{self._done} so far" if self._total is None else f"{self._done}/{self._total}"

    def _pace(self) -> str:
        shown = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}"
        return f"{shown} {self._unit}/s"

    def expect(self, total: int | None) -> None:
        """Set what is counted to, once it is known or known better."""
        self._total = total

    @property
    def rate(self) -> float:
        """Work per second since the start of this bar."""
        return self.work / self.seconds

    @property
    def seconds(self) -> float:
        """Time since the start of this bar."""
        return max(time.monotonic() - self._began, 1e-9)

    def _left(self) -> str:
        pace = (self._done - self._first) / self.seconds
        assert self._total is not None
        return _minutes(max(0, (self._total - self._done) / pace))


def tracked(
    label: str, items: Iterable[T], total: int | None, rate_unit: str = "steps"
) -> Iterator[T]:
    """All `items`, in a bar of their own that counts those that are done."""
    with ProgressBar(label, total, rate_unit=rate_unit) as bar:
        for item in items:
            yield item
            bar.advance()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _console_says_info() -> bool:
    return any(handler.level <= logging.INFO for handler in logging.getLogger().handlers)


def _bar() -> "Progress":
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=_console(sys.stderr), transient=True)


@cache
def _console(stream: TextIO) -> "Console":
    """One for all bars on a stream, so that one inside another has a line of its own."""
    from rich.console import Console

    return Console(file=stream)
