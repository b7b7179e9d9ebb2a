"""Stage runs: list the runs below the outputs folder."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from world_models.config.stage import Look, Stage
from world_models.figures.wording import plain_console
from world_models.report.headline import QUALITY_OF_PICTURES, SKILL, headline
from world_models.runs.past import PastRun, all_runs
from world_models.runs.places import led_to, seen_from
from world_models.runs.quotes import printable

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

SCORE = "score (± standard deviation over episodes)"


@dataclass
class RunsConfig:
    """Nothing to set: the folder is the root key `outputs`."""


def list_runs(outputs: Path, console: "Console | None" = None) -> None:
    """Print a table, oldest run first: folder, stage, status, score, size, what it was built on."""
    # every command knows this stage; only the table waits for what draws it
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("run", "stage", "status", SCORE, "minutes", "MB", "built on"):
        table.add_column(
            column,
            justify="right" if column in (SCORE, "minutes", "MB") else "left",
            overflow="fold",
        )
    for run in all_runs(outputs):
        table.add_row(*map(printable, describe(run, outputs)))
    (console or plain_console()).print(table if table.row_count else f"no runs in {outputs}")


def describe(run: PastRun, outputs: Path) -> list[str]:
    """One row of the table."""
    path, manifest = run.path, run.manifest
    size = sum(map(_size, path.rglob("*"))) / 1e6
    sources = [manifest["upstream"]] if manifest.get("upstream") else []
    sources += [entry["path"] for entry in (manifest.get("reused") or {}).values()]
    built_on = ", ".join(seen_from(led_to(path, source), outputs) for source in sources)
    name = str(path.relative_to(outputs))
    return [
        name,
        manifest["stage"],
        run.status,
        score(path),
        f"{manifest.get('wall_seconds', 0.0) / 60:.1f}",
        f"{size:.1f}",
        built_on,
    ]


def _size(path: Path) -> int:
    """Bytes; none for a folder or a file that a live run has just taken away."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def score(path: Path) -> str:
    """What a run came to: a return, a selection score, a skill, a PSNR, or a validation loss."""
    try:
        found = headline(path)
    except ValueError as error:
        log.warning("%s", error)
        return "damaged"
    if found is None:
        return ""
    if found.spread is not None:
        return f"{found.value:.1f} ± {found.spread:.1f}"
    if found.name == SKILL:
        return f"skill {found.value:.2f}"
    if found.name == QUALITY_OF_PICTURES:
        return f"PSNR {found.value:.1f} dB"
    return f"{found.value:.1f}" if found.larger_is_better else f"loss {found.value:.3f}"


def look(cfg: RunsConfig) -> Look:
    """The table is all that this stage does."""
    return list_runs


STAGE = Stage("runs", RunsConfig, look=look)
