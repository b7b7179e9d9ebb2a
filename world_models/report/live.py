"""A page that shows a run while it goes on: it is written anew, and the browser fetches it anew."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from world_models.runs.folder import is_live
from world_models.runs.progress import ProgressBar

SCRIPT = """
"use strict";
const items = [...document.querySelectorAll("details")];
const kept = history.state ?? { open: [], y: 0 };
history.scrollRestoration = "manual";
for (const index of kept.open) if (items[index]) items[index].open = true;
addEventListener("load", () => scrollTo({ top: kept.y, behavior: "instant" }));
setInterval(() => {
  if (document.hidden) return;
  const open = items.flatMap((item, index) => (item.open ? [index] : []));
  history.replaceState({ open, y: scrollY }, "");
  location.reload();
}, 1000 * Number(document.body.dataset.again));
"""
"""Fetches the page anew, and keeps the place and what was unfolded."""


def allowed() -> str:
    """The page's policy on scripts: this one and no other."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return f"script-src 'sha256-{digest}'"


def follow(
    folders: Sequence[Path], page: Path, write: Callable[[bool], None], every: float
) -> None:
    """Write the page whenever a file of the runs has changed, until no process writes them.

    `write(live)` writes it; the last one is not live any more.
    """
    seen = None
    with ProgressBar("follow", None) as bar:
        while any(map(is_live, folders)):
            now = _last_change(folders, page)
            if now != seen:
                write(True)
                seen = now
            bar.advance()
            time.sleep(every)
    write(False)


def _last_change(folders: Sequence[Path], page: Path) -> int:
    """When a file that the page shows was written last, in nanoseconds."""
    return max((moment for folder in folders for moment in _moments(folder, page)), default=0)


def _moments(folder: Path, page: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        if path != page and path.name != "log.txt":
            try:
                yield path.stat().st_mtime_ns
            except FileNotFoundError:
                # a temporary file that has its name by now
                continue
