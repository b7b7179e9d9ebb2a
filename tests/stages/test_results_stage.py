"""Stage results: tables and page of made-up scores, and what is refused."""

import json
from pathlib import Path

import pytest

from world_models.main import main
from world_models.runs.files import read_json

SCORES = {
    "RANDOM": {"Pong": [-20.0], "Hero": [0.0]},
    "HUMAN": {"Pong": [20.0], "Hero": [100.0]},
    "ours": {"Pong": [0.0, 20.0], "Hero": [50.0, 150.0]},
    "theirs": {"Pong": [-10.0, 0.0], "Hero": [0.0, 50.0]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scores"
    path.mkdir()
    for name, games in SCORES.items():
        (path / f"{name}.json").write_text(json.dumps(games))
    return path


def compare(folder: Path, *more: str) -> int:
    outputs = f"outputs={folder.parent / 'outputs'}"
    return main(["stage=results", f"stage.scores={folder}", outputs, *more])


def test_tables_and_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(folder) == 0
    told = capsys.readouterr().out
    # normalised: ours 0.5, 1 and 0.5, 1.5; theirs 0.25, 0.5 and 0, 0.5
    assert "0.875 [" in told and "0.312 [" in told
    # of the pairs in each game ours wins three, and one is a draw
    assert "0.88 [" in told and "0.12 [" in told
    made = folder.parent / "outputs" / "results" / "scores"
    page = (made / "report.html").read_text()
    assert "0.875 [" in page and "Share of runs above a score" in page
    numbers = read_json(made / "results.json")
    assert numbers["ours"]["median"][0] == 0.875
    assert numbers["theirs"]["optimality gap"][0] == pytest.approx(0.6875)


def test_other_references_have_other_names(folder: Path) -> None:
    (folder / "theirs.json").rename(folder / "baseline.json")
    assert compare(folder, "stage.low=baseline") == 0
    assert set(read_json(folder.parent / "outputs/results/scores/results.json")) == {
        "RANDOM",
        "ours",
    }


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("ours", {"Pong": [1.0]}, "lacks Hero, which other algorithms have"),
        ("ours", {"Pong": [], "Hero": [1.0]}, "is no file of scores"),
        ("ours", [1, 2], "is no file of scores"),
        ("ours", {"Pong": ["much"], "Hero": [1.0]}, "is no file of scores"),
        ("HUMAN", {"Pong": [20.0]}, "Hero cannot be normalised"),
        ("HUMAN", {"Pong": [20.0], "Hero": [0.0]}, "Hero cannot be normalised"),
        ("RANDOM", None, "has no RANDOM.json"),
    ],
)
def test_what_does_not_go_together_is_refused(
    folder: Path, name: str, content: object, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"{name}.json"
    path.unlink()
    if content is not None:
        path.write_text(json.dumps(content))
    assert compare(folder) == 1
    assert sentence in capsys.readouterr().err.replace("\n", " ")


def test_a_folder_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage=results", f"outputs={tmp_path}"]) == 1
    assert "stage.scores is missing" in capsys.readouterr().err
