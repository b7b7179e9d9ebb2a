"""A CSV file as columns, for people who ask numpy or pandas."""

import math
from pathlib import Path

import numpy as np

from world_models.runs.metrics import read_csv
from world_models.runs.rows import as_float


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Column -> values: float64, an empty cell NaN; text where a cell is no number.

    See `read_csv`.
    """
    rows = read_csv(path)
    return {name: _values([row[name] for row in rows]) for name in (rows[0] if rows else {})}


def _values(cells: list[str]) -> np.ndarray:
    numbers = [as_float(cell) for cell in cells]
    pairs = zip(cells, numbers, strict=True)
    is_text = any(math.isnan(number) and cell not in ("", "nan") for cell, number in pairs)
    return np.array(cells if is_text else numbers)
