"""Rows of CSV files as dataclasses: who writes a table, who reads it and who tests it take its
columns from one place."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from world_models.runs.metrics import Value

    Row = Mapping[str, Value] | DataclassInstance

T = TypeVar("T")


def column(caption: str = "", name: str = "", default: Any = MISSING) -> Any:
    """A field that a page shows under `caption`, in a column called `name` where that is no name
    for a field."""
    return field(default=default, metadata={"caption": caption, "name": name})


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """timing.csv: how fast a stage was since its last row. Which counter there is depends on the
    stage."""

    # updates of the weights so far
    step: int | None = None
    # of a search
    generation: int | None = None
    # steps of the environment that were played [steps]
    steps: int | None = None
    # since the row before, without judging and drawing [s]
    seconds: float
    # steps of training or of the environment [steps/s]
    rate: float
    # that were learned from [frames/s]
    frames_per_s: float | None = None
    # that a search's tests of its mean vector took [s]
    test_seconds: float | None = None


def columns(kind: type) -> dict[str, "Field[Any]"]:
    """The fields of a kind of rows by the names of their columns, in their order."""
    return {entry.metadata.get("name") or entry.name: entry for entry in fields(kind)}


def required_columns(kind: type) -> list[str]:
    """The columns that every row of this kind has."""
    return [name for name, entry in columns(kind).items() if entry.default is MISSING]


def captions(kind: type) -> dict[str, str]:
    """What a page writes above a column, by its name; columns without a caption are left out."""
    found = {name: entry.metadata.get("caption", "") for name, entry in columns(kind).items()}
    return {name: caption for name, caption in found.items() if caption}


def cells(row: "Row") -> "dict[str, Value]":
    """A row's values by the names of their columns; a column that the row does not use (None) is
    left out."""
    if isinstance(row, Mapping):
        return dict(row)
    found = {name: getattr(row, entry.name) for name, entry in columns(type(row)).items()}
    return {name: value for name, value in found.items() if value is not None}


def rows_of(kind: type[T], records: Iterable[Mapping[str, Any]]) -> Iterator[T]:
    """Rows from cells by the names of their columns.

    A row that was cut off, without a text or a whole number, is left out; any other cell that
    holds no number is NaN.
    """
    hints = get_type_hints(kind)
    for record in records:
        values = {}
        for name, entry in columns(kind).items():
            value = _value(hints[entry.name], record.get(name))
            values[entry.name] = entry.default if value is None else value
        if MISSING not in values.values():
            yield kind(**values)


def odd_cells(kind: type, record: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Of these columns those in which a record's text is not of the type of such a row.

    NaN and infinity are numbers here.
    """
    hints = get_type_hints(kind)
    types = {name: hints[entry.name] for name, entry in columns(kind).items()}
    return [name for name in names if name in record and not _fits(types[name], record[name])]


def _fits(hint: Any, text: str) -> bool:
    kind = (get_args(hint) or (hint,))[0]
    if kind is int:
        return as_float(text).is_integer()
    return kind is not float or text.lower() == "nan" or not math.isnan(as_float(text))


def _value(hint: Any, cell: Any) -> "Value | None":
    """What a cell says; None for a text or a whole number that is not there."""
    kind = (get_args(hint) or (hint,))[0]
    if kind is str:
        return None if cell is None else str(cell)
    number = as_float(cell)
    if kind is int:
        return int(number) if math.isfinite(number) else None
    return number


def as_float(text: Any) -> float:
    """The number that a cell holds; NaN for anything else."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
