"""Progress of long work, with rate and time left: a bar on a terminal, log lines elsewhere."""

import logging
import multiprocessing
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


log = logging.getLogger(__name__)

LOG_SECONDS = 15.0


class ProgressBar:
    """Counts from `start` to `total` (None: not known yet).

    `rate_unit` names what `advance(work=...)` counts.
    """

    def __init__(
        self, label: str, total: int | None, start: int = 0, rate_unit: str = "steps"
    ) -> None:
        self._label, self._total, self._done, self._unit = label, total, start, rate_unit
        self._first, self.work = start, 0.0
        self._began = self._logged = time.monotonic()
        # jobs side by side would draw over each other
        alone = multiprocessing.parent_process() is None
        visible = alone and sys.stderr.isatty() and _console_says_info()
        self._bar = _bar() if visible else None

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(
                self._label, total=self._total, completed=self._done, note=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1, work: float | None = None, note: str = "") -> None:
        """Count `count` more items and `work` units of the rate (default: the items).

        `note` is said beside them.
        """
        self._done += count
        self.work += count if work is None else work
        text = f"{self.rate:,.0f} {self._unit}/s {note}"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, total=self._total, note=text)
        elif time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            log.info(
                "%s %d/%s, %s, %s left",
                self._label,
                self._done,
                self._total or "?",
                text.strip(),
                self._left(),
            )

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
        if self._total is None or pace == 0:
            return "?"
        seconds = max(0, int((self._total - self._done) / pace))
        return f"{seconds // 60}:{seconds % 60:02d}"


def _console_says_info() -> bool:
    return any(handler.level <= logging.INFO for handler in logging.getLogger().handlers)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
