"""Pages and tables of what nobody expects: other types, huge numbers, names like markup."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report.fabricated import (
    Page,
    report,
    tiles,
    write_controller,
    write_evaluate,
    write_rollout,
    write_run,
    write_training,
)

from world_models.figures.media import save_png
from world_models.figures.plots import drawable
from world_models.figures.wording import number
from world_models.report.report import write_report
from world_models.runs.progress import _bar
from world_models.stages.runs import list_runs

ODD_FIELDS = {
    "status": ["finished"],
    "created": None,
    "experiment": {"name": "demo"},
    "error": 3,
    "env": "CarRacing-v3",
    "command": "python",
    "versions": ["3.11"],
    "machine": "a processor",
    "git": {"dirty": True},
    "reused": ["vae"],
    "inputs": [{"kind": "episodes"}],
    "parts": [{"folder": "vae"}],
    "wall_seconds": "long",
}


@pytest.mark.parametrize("field", ODD_FIELDS)
def test_a_field_of_another_type_is_named_and_left_out(tmp_path: Path, field: str) -> None:
    folder = write_training(tmp_path / "run", "mdrnn", [2.0, 1.2], **{field: ODD_FIELDS[field]})
    text = report(folder).text
    assert f"manifest.json is damaged: {field} cannot be shown." in text
    assert "best validation loss" in text


def test_all_fields_of_another_type_at_once(tmp_path: Path) -> None:
    odd = ODD_FIELDS | {"wall_seconds": 1e300}
    folder = write_training(tmp_path / "run", "mdrnn", [2.0, 1.2], **odd)
    named = re.search(r"damaged: ([\w, ]+) cannot be shown\.", report(folder).text)
    assert named is not None and {*named[1].split(", ")} == {*ODD_FIELDS}


def test_an_odd_part_spoils_only_its_section(tmp_path: Path) -> None:
    parts = [{"folder": name, "stage": name} for name in ("rollout", "mdrnn")]
    whole = write_run(tmp_path / "run", "pipeline", parts=parts)
    write_rollout(whole / "rollout")
    write_training(whole / "mdrnn", "mdrnn", [2.0, 1.2], created=None, inputs={"vae": 3})
    page = report(whole)
    assert page.text.count("cannot be shown") == 1 and "best validation loss" in page.text


@pytest.mark.parametrize("content", ['["another program\'s"]', '{"stage": 3}', "{", '{"a": 1}'])
def test_another_programs_manifest_is_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        write_report(tmp_path)


def write_memory(folder: Path) -> Path:
    return write_training(folder, "mdrnn", [2.0, 1.2])


def write_vision(folder: Path) -> Path:
    return write_training(folder, "vae", [2.0, 1.2])


def replace_numbers(path: Path, value: str, every: int) -> None:
    """Every so many numbers with a decimal point become `value`; the header stays."""
    counted = iter(range(10**6))
    head, _, body = path.read_text().partition("\n")

    def swapped(found: re.Match[str]) -> str:
        return found[0] if next(counted) % every else value

    path.write_text(head + "\n" + re.sub(r"(?<![\w.])-?\d+\.\d+(e-?\d+)?", swapped, body))


@pytest.mark.parametrize(("value", "every"), [("1e308", 1), ("-1e308", 5), ("1e200", 3)])
@pytest.mark.parametrize(
    "write", [write_rollout, write_vision, write_memory, write_controller, write_evaluate]
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_huge_numbers_are_not_drawn(
    tmp_path: Path, write: Callable[[Path], Path], value: str, every: int
) -> None:
    folder = write(tmp_path / "run")
    for path in [*folder.glob("*.csv"), *folder.glob("scores.json")]:
        replace_numbers(path, value, every)
    text = report(folder).text
    assert "Origin" in text and not re.search(r"\d{40}", text.replace(",", ""))


def test_what_can_be_drawn_and_written() -> None:
    values = [1.0, -2.0, 1e308, -1e200, float("nan"), float("inf")]
    assert drawable(values).tolist() == [True, True, False, False, False, False]
    assert [number(value) for value in (1e308, -3.21e20, 123456.7)] == [
        "1e308",
        "−3.2e20",
        "123,457",
    ]


def test_names_that_are_no_utf8_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write_training(folder, "mdrnn", [2.0, 1.2], env={"id": "caf\udce9"})
    save_png(folder / "images" / os.fsdecode(b"\xff.png"), tiles(1)[0])
    page = Page(write_report(folder))
    assert "caf\\udce9" in page.text and len(page.all("img")) == 1
    list_runs(tmp_path)
    assert "caf\\udce9" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["[", "[red]", "[bold", ":smile:", "[link=x]"])
def test_names_that_look_like_markup_are_shown_as_they_are(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_training(tmp_path / name / "[" / "x]", "mdrnn", [2.0])
    write_training(tmp_path / name / "[" / "y]", "mdrnn", [2.0])
    list_runs(tmp_path)
    shown = capsys.readouterr().out
    assert f"{name}/[/x]" in shown and f"{name}/[/y]" in shown
    with _bar() as bar:
        bar.add_task(f"draw the report of {name}/[/x]", note="[/y]", count="1/2")


def test_a_damaged_score_is_named_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any
    for number_, broken in enumerate(([], {"mean": "high"}, {"horizons": 3}, {"mean": 1.0})):
        folder = write_evaluate(tmp_path / f"{number_}")
        (folder / "scores.json").write_text(json.dumps(broken))
    write_training(tmp_path / "good", "mdrnn", [2.0])
    list_runs(tmp_path)
    shown = capsys.readouterr().out
    assert shown.count("damaged") == 4 and "loss 2.000" in shown
    assert "scores.json is damaged" in caplog.text
