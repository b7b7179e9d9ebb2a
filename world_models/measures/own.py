"""Metrics that other people's code adds: tables that a stage writes once it is finished."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from world_models.runs.files import replacing
from world_models.runs.rows import cells

if TYPE_CHECKING:
    from world_models.runs.rows import Row

MEASURES: "dict[str, dict[str, Callable[[Path], Iterable[Row]]]]" = {}
"""Stage -> name of a table -> what gives its rows, of the folder of a run whose work is done."""


def write_own(stage: str, folder: Path) -> None:
    """Write `<table>.csv` for each metric that was added to this stage."""
    for name, measure in MEASURES.get(stage, {}).items():
        rows = [cells(row) for row in measure(folder)]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(folder / f"{name}.csv") as file:
            file.write(text.getvalue().encode())
