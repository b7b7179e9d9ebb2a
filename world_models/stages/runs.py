"""Stage runs: list the runs below the outputs folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from world_models.runs.files import read_json
from world_models.runs.folder import read_manifest
from world_models.runs.lineage import all_runs, status
from world_models.runs.metrics import read_csv

WIDTH = 250
"""Wide enough to fold no path, so that one can be copied from a terminal or a pipe."""


@dataclass
class RunsConfig:
    """Nothing to set: the folder is the root key `outputs`."""


def list_runs(outputs: Path, console: Console | None = None) -> None:
    """Print a table: folder, stage, status, score, size and what each run was built on, oldest first."""
    table = Table(box=None, pad_edge=False)
    for column in ("run", "stage", "status", "score", "minutes", "MB", "built on"):
        table.add_column(column, justify="right" if column in ("score", "minutes", "MB") else "left", overflow="fold")
    for path in all_runs(outputs):
        table.add_row(*describe(path, outputs))
    (console or Console(width=WIDTH)).print(table if table.row_count else f"no runs in {outputs}")


def describe(path: Path, outputs: Path) -> list[str]:
    """One row of the table."""
    manifest = read_manifest(path)
    size = sum(map(_size, path.rglob("*"))) / 1e6
    upstream = manifest.get("upstream")
    built_on = os.path.relpath(path / upstream, outputs) if upstream else ""
    name = str(path.relative_to(outputs))
    return [
        name,
        manifest["stage"],
        status(path),
        score(path),
        f"{manifest['wall_seconds'] / 60:.1f}",
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
    """What a run came to: a mean return, or a validation loss."""
    if (path / "scores.json").is_file():
        scores: dict[str, Any] = read_json(path / "scores.json")
        return f"{scores['mean']:.1f} ± {scores['std']:.1f}"
    for name, column in (("selection", "best"), ("val_metrics", "loss")):
        rows = read_csv(path / f"{name}.csv")
        if rows:
            values = [float(row[column]) for row in rows]
            return f"{max(values):.1f}" if name == "selection" else f"loss {min(values):.3f}"
    return ""
