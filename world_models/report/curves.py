"""Curves of a table's columns, typed rows or all columns of a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from world_models.figures.plots import Line, Table
from world_models.runs.rows import as_float


def line(
    label: str, colour: str, rows: Sequence[Any], y: str, x: str = "step", marked: bool = False
) -> list[Line]:
    """The curve of one column of typed rows against another; none without rows."""
    return [Line(label, colour, values(rows, x), values(rows, y), marked)] if rows else []


def values(rows: Sequence[Any], name: str) -> np.ndarray:
    """One column (N,) of typed rows, float64, NaN where it is not used."""
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def finite(rows: Sequence[Any], name: str) -> np.ndarray:
    """The finite numbers of one column."""
    found = values(rows, name)
    return found[np.isfinite(found)]


def number_columns(records: Sequence[Mapping[str, str]]) -> Table:
    """The columns (N,) of a file's rows, float64, NaN where a cell holds no number."""
    names = list(records[0]) if records else []
    return {name: np.array([as_float(record[name]) for record in records]) for name in names}


def table_line(
    label: str, colour: str, table: Table, y: str, marked: bool = False, ringed: str = ""
) -> list[Line]:
    """The curve of a file's column against its steps; none where one of both is not there."""
    known = {"step", y} <= set(table)
    return [Line(label, colour, table["step"], table[y], marked, ringed)] if known else []
