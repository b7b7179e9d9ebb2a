"""CSV logs that a resumed run continues without a gap or a double row."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from world_models.runs.files import plain_name, require_regular, saying_what_is_full
from world_models.runs.parsing import damaged
from world_models.runs.rows import (
    as_float,
    cells,
    columns,
    odd_cells,
    required_columns,
    rows_of,
)
from world_models.runs.signals import whole_write

if TYPE_CHECKING:
    from world_models.runs.rows import Row

T = TypeVar("T")

Value = int | float | str
Mirror = Callable[[str, dict[str, Value | Path]], None]
"""Takes the name of a table and a row of it; a Path among the values is a picture."""


def together(mirrors: Sequence[Mirror]) -> Mirror:
    """One mirror that hands everything on to several."""

    def mirror(name: str, row: dict[str, Value | Path]) -> None:
        for one in mirrors:
            one(name, row)

    return mirror


@dataclass(frozen=True)
class Tables:
    """The tables that a run has begun, by name: no other file of its folder is touched.

    A run that an earlier version began notes none. Of such a run a table is known by its header.
    """

    names: list[str] = field(default_factory=list)
    noted: bool = False
    save: Callable[[], None] = lambda: None

    def add(self, name: str) -> None:
        """Note a table before it is begun."""
        if name not in self.names:
            self.names.append(name)
            self.save()


class MetricsLog:
    """One CSV file per name in a run folder; `offsets` says how many bytes of each are valid.

    A checkpoint stores `offsets`; a run that resumes hands them back and each file of the run is
    cut to that length.
    """

    def __init__(
        self,
        folder: Path,
        offsets: dict[str, int] | None = None,
        mirror: Mirror | None = None,
        tables: Tables | None = None,
    ) -> None:
        self._folder = folder
        self._offsets: dict[str, int] = dict(offsets or {})
        self._mirror = mirror
        self._headers: dict[str, list[str]] = {}
        self._tables = tables or Tables()
        for name in [*self._tables.names, *self._offsets]:
            self._cut(self._path(plain_name(name, folder)), self._offsets.get(name, 0))
        for name in self._offsets:
            self._tables.add(name)

    def _cut(self, path: Path, offset: int) -> None:
        size = path.stat().st_size if path.is_file() else 0
        if size < offset:
            raise ValueError(
                f"{path} has {size} bytes where the checkpoint saw {offset}: "
                "rows are lost, so start a new run"
            )
        if size > offset:
            os.truncate(path, offset)

    @property
    def offsets(self) -> dict[str, int]:
        """Bytes written so far to each file."""
        return dict(self._offsets)

    def write(self, name: str, row: "Row") -> None:
        """Append a row, a dataclass or a mapping, to `<name>.csv`; the first row of a file also
        writes its header.

        A row whose columns are not those of the header is a ValueError.
        """
        values = cells(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=self._header(name, values), lineterminator="\n")
        if self._offsets.get(name, 0) == 0:
            self._claim(name, list(values))
            writer.writeheader()
        writer.writerow(values)
        data = text.getvalue().encode()
        path = self._path(name)
        with whole_write(), saying_what_is_full(path), path.open("ab") as file:
            file.write(data)
        self._offsets[name] = self._offsets.get(name, 0) + len(data)
        if self._mirror is not None:
            self._mirror(name, {**values})

    def _claim(self, name: str, header: list[str]) -> None:
        """Before a table is begun: a file in its place that is not the run's is a ValueError."""
        path = self._path(name)
        if name not in self._tables.names and path.exists():
            known = not self._tables.noted and _first_line(path) in ([], header)
            if not known:
                raise ValueError(
                    f"{path} is none of this run's files, and the run needs that name: move it "
                    "away, and resume the run"
                )
            os.truncate(path, 0)
        self._tables.add(name)

    def _header(self, name: str, row: dict[str, Value]) -> list[str]:
        """The columns of `<name>.csv`: those that it has, also from before a resumption, else the
        row's."""
        if name not in self._headers:
            begun = self._offsets.get(name, 0) > 0
            self._headers[name] = _first_line(self._path(name)) if begun else list(row)
        header = self._headers[name]
        if set(header) != set(row):
            raise ValueError(_misfit(self._path(name), header, row))
        return header

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.csv"

    def picture(self, name: str, path: Path) -> None:
        """Hand a picture that was just written on to the mirror, where there is one."""
        if self._mirror is not None:
            self._mirror("images", {name: path})


class Unwritten(MetricsLog):
    """The log of a process that writes nothing."""

    def __init__(self) -> None:
        super().__init__(Path())

    def write(self, name: str, row: "Row") -> None:
        """See MetricsLog."""

    def picture(self, name: str, path: Path) -> None:
        """See MetricsLog."""


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as text; none when the file does not exist.

    A last line that was cut off while it was written is left out. Any other row that has not the
    columns of the header is a ValueError, and so is a file that cannot be read.
    """
    if not path.exists():
        return []
    if path.is_symlink():
        raise ValueError(f"{path} is a link: put the table itself in its place")
    require_regular(path)
    try:
        text = path.read_bytes().decode()
        if "\n" not in text:
            # cut off before its first row
            return []
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not text.endswith("\n"):
        rows = rows[:-1]
    return list(_records(path, header, rows))


def _records(path: Path, header: list[str], rows: list[list[str]]) -> Iterator[dict[str, str]]:
    if not all(header) or len({*header}) != len(header):
        raise damaged(path, "a column of its header has no name, or that of another")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise damaged(path, f"row {number} has {len(row)} cells for {len(header)} columns")
        yield dict(zip(header, row, strict=True))


def _first_line(path: Path) -> list[str]:
    with path.open(newline="", errors="replace") as file:
        return next(csv.reader(file), [])


def _misfit(path: Path, header: list[str], row: dict[str, Value]) -> str:
    """What is wrong with a row for a file with this header, and what to do."""
    missing = [name for name in header if name not in row]
    new = [name for name in row if name not in header]
    parts = [("no longer written", missing), ("new", new)]
    named = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
    return (
        f"{path} has other columns than the rows that are now written ({named}): "
        "start a new run, or resume with the version that began this one"
    )


def read_rows(path: Path, kind: type[T]) -> list[T]:
    """The rows of a CSV file; none where the file does not exist.

    See `read_csv`. A file that lacks a column, and a cell of another type, is a ValueError.
    """
    records = read_csv(path)
    if records:
        _require_columns(path, kind, records[0])
    _require_numbers(path, kind, records, [*columns(kind)])
    return list(rows_of(kind, records))


def _require_columns(path: Path, kind: type, record: Mapping[str, Any]) -> None:
    missing = [name for name in required_columns(kind) if name not in record]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}: another version wrote it, "
            "so make the run again, or read it with that version"
        )


def _require_numbers(
    path: Path, kind: type, records: list[dict[str, str]], names: list[str]
) -> None:
    for number, record in enumerate(records, 1):
        for name in odd_cells(kind, record, names):
            raise damaged(path, f"row {number} has {record[name]!r:.40} for {name}")


def read_column(path: Path, kind: type, name: str) -> np.ndarray:
    """The finite numbers of one column of a CSV file, also of a file that lacks others; empty
    without the column."""
    assert name in columns(kind), (kind, name)
    records = read_csv(path)
    _require_numbers(path, kind, records, [name])
    values = np.array([as_float(record.get(name)) for record in records])
    return values[np.isfinite(values)]
