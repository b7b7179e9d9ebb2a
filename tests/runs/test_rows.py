"""Rows as dataclasses: what is written is read back, and what is missing is said."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from world_models.runs.metrics import MetricsLog, read_column, read_csv, read_rows
from world_models.runs.rows import captions, cells, column, rows_of


@dataclass(frozen=True, kw_only=True)
class Measured:
    step: int | None = None
    name: str
    start: float = column("Where it begins", name="from")
    count: int
    late: float | None = None


ROW = Measured(step=3, name="M", start=0.1, count=7)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write("table", ROW)
    assert (tmp_path / "table.csv").read_text() == "step,name,from,count\n3,M,0.1,7\n"
    (read,) = read_rows(tmp_path / "table.csv", Measured)
    assert cells(read) | {"late": 0} == cells(ROW) | {"late": 0}
    assert read.late is not None and math.isnan(read.late)
    assert read_rows(tmp_path / "none.csv", Measured) == []


def test_a_row_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,from,count\nM,1.5,7\nlast,nan,3.0\nM,1.5")
    first, second = read_rows(tmp_path / "table.csv", Measured)
    assert (first.start, first.count, first.step) == (1.5, 7, None)
    assert math.isnan(second.start) and second.count == 3
    assert read_column(tmp_path / "table.csv", Measured, "from").tolist() == [1.5]
    assert read_column(tmp_path / "table.csv", Measured, "late").tolist() == []


@pytest.mark.parametrize("text", ["", "name,from", "name,from,count\n"])
def test_a_table_that_was_cut_off_before_its_first_row_has_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    assert read_rows(tmp_path / "table.csv", Measured) == []


@pytest.mark.parametrize(
    "rows",
    ["M,1.5\nM,1.5,7\n", "M,1.5,7,8\n", "M,none,7\n", "M,1.5,7.5\n", "M,,7\n", '"M,1.5,7\n'],
)
def test_rows_that_nobody_wrote_are_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "table.csv").write_text("name,from,count\n" + rows)
    with pytest.raises(ValueError, match=r"table\.csv"):
        read_rows(tmp_path / "table.csv", Measured)


@pytest.mark.parametrize("header", ["name,from,from", "name,,count", ""])
def test_columns_have_names_of_their_own(tmp_path: Path, header: str) -> None:
    (tmp_path / "table.csv").write_text(header + "\nM,1.5,7\n")
    with pytest.raises(ValueError, match=r"table\.csv"):
        read_csv(tmp_path / "table.csv")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,count\nM,7\n")
    with pytest.raises(ValueError, match=r"table\.csv has no column from: .*make the run again"):
        read_rows(tmp_path / "table.csv", Measured)


def test_rows_can_be_written_as_json_too() -> None:
    assert next(rows_of(Measured, [cells(ROW)])).start == 0.1
    assert captions(Measured) == {"from": "Where it begins"}


def test_a_mapping_is_a_row(tmp_path: Path) -> None:
    MetricsLog(tmp_path).write("table", {"a": 1})
    assert read_csv(tmp_path / "table.csv") == [{"a": "1"}]
