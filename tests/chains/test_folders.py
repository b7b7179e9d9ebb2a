"""Folders that are links, were moved, or lie on another disk: what a run was built on is found."""

import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import newest, small

from world_models.cli import launch
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.past import PastRun, all_runs
from world_models.runs.run import Run


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rollout run; for reading only."""
    outputs = tmp_path_factory.mktemp("outputs")
    assert main(small("rollout", "stage.episodes=4", f"outputs={outputs}")) == 0
    return newest(outputs)


def copied(run: Path, outputs: Path) -> Path:
    """A copy that a test may move."""
    target = outputs / Path(*run.parts[-3:])
    shutil.copytree(run, target)
    return target


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stages do no more than record their episodes; these, as they are opened."""
    opened: list[Path] = []

    def record(row: Any, config: Any, run: Run) -> None:
        with run.recording():
            episodes = run.feeder.path / "episodes/manifest.json"
            run.add_input("episodes", episodes)
            opened.append(episodes)
            raise ValueError("enough")

    monkeypatch.setattr(launch, "execute", record)
    return opened


def only_run(outputs: Path, stage: str) -> Path:
    (run,) = (run.path for run in all_runs(outputs) if run.stage == stage)
    return run


VAE = ["stage=vae", "env=pellet", "threads=1"]


def test_outputs_may_be_a_link(
    collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: list[Path]
) -> None:
    """Relative paths from a run lead through the other disk, whoever resumes it from where."""
    disk, home = tmp_path / "disk", tmp_path / "a/b/c/home"
    home.mkdir(parents=True)
    disk.mkdir()
    (home / "outputs").symlink_to(disk)
    outside = copied(collected, home / "elsewhere")
    monkeypatch.chdir(home)
    assert main([*VAE, f"upstream={outside.relative_to(home)}"]) == 1
    run = only_run(Path("outputs"), "vae")
    assert main([f"resume={run}"]) == main([f"resume={run.resolve()}"]) == 1
    assert PastRun(run.resolve()).inputs("episodes") == [outside / "episodes/manifest.json"]
    assert len(built) == 3 and len(read_json(run / "manifest.json")["inputs"]) == 1
    sweep = ["-m", *VAE, f"upstream={outside.relative_to(home)}", "seed=1,2"]
    assert main(sweep) == 1
    assert len(built) == 5 and len({path.resolve() for path in built}) == 1


def test_a_date_folder_on_another_disk_linked_back_is_seen_once(
    collected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], built: list[Path]
) -> None:
    outputs = tmp_path / "outputs"
    run = copied(collected, outputs)
    assert main([*VAE, f"outputs={outputs}"]) == 1
    (tmp_path / "x/y").mkdir(parents=True)
    day = run.parent
    shutil.move(day, tmp_path / "x/y/day")
    day.symlink_to(tmp_path / "x/y/day")
    day.with_name("z again").symlink_to(day)
    (outputs / "circle").symlink_to(outputs)
    (outputs / "nowhere").symlink_to(tmp_path / "gone")
    found = [past.path for past in all_runs(outputs)]
    assert found[0] == run and len(found) == 2
    assert main(["stage=runs", f"outputs={outputs}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(" rollout " in line for line in lines) == 1
    assert str(run.relative_to(outputs)) in lines[-1], "what it was built on, seen from outputs"
    vae = only_run(outputs, "vae")
    assert PastRun(vae).input("episodes").samefile(run / "episodes/manifest.json")
    assert main([*VAE, f"outputs={outputs}"]) == main([f"resume={vae}"]) == 1
    assert len(built) == 3


def test_what_moved_below_outputs_is_found_by_its_hash(
    collected: Path, tmp_path: Path, built: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    outputs = tmp_path / "outputs"
    run = copied(collected, outputs)
    assert main([*VAE, f"outputs={outputs}"]) == 1
    vae = only_run(outputs, "vae")
    kept = outputs / "kept/for/later"
    shutil.move(run, kept)
    moved = shutil.move(vae, tmp_path / "vae")
    with caplog.at_level(logging.INFO):
        assert main([f"resume={moved}"]) == 1
    assert "has moved: taken from" in caplog.text
    assert built[-1] == kept / "episodes/manifest.json" and len(built) == 2


def test_what_moved_elsewhere_can_be_named(
    collected: Path, tmp_path: Path, built: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    run = copied(collected, outputs)
    assert main([*VAE, f"outputs={outputs}"]) == 1
    vae = only_run(outputs, "vae")
    there = shutil.move(run, tmp_path / "there")
    other = tmp_path / "other"
    shutil.copytree(there, other)
    manifest = other / "episodes/manifest.json"
    manifest.write_text(json.dumps({**read_json(manifest), "seed": 5}))
    capsys.readouterr()
    for more, sentence in (
        ([], r"which feeds .* is gone: bring it back, or name it with upstream="),
        ([f"upstream={other}"], "holds no manifest.json of the hash"),
        ([f"upstream={there}"], "enough"),
    ):
        assert main([f"resume={vae}", *more]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert re.search(sentence, error), error
    assert main([f"resume={vae}", f"upstream={other}"]) == 1
    assert "upstream was" in capsys.readouterr().err
    assert main([f"resume={vae}"]) == 1
    assert built[-1] == there / "episodes/manifest.json" and len(built) == 3


def test_runs_come_after_those_that_were_there_whatever_the_clock_says(
    collected: Path, tmp_path: Path, built: list[Path]
) -> None:
    outputs = tmp_path / "outputs"
    run = copied(collected, outputs)
    ended = "2999-01-01T00:00:00+00:00"
    manifest = {**read_json(run / "manifest.json"), "ended": ended}
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert main([*VAE, f"outputs={outputs}"]) == 1
    vae = read_json(only_run(outputs, "vae") / "manifest.json")
    assert built == [run / "episodes/manifest.json"] and vae["created"] == ended
    assert main(["-m", *VAE, f"outputs={outputs}", "seed=1"]) == 1
    (job,) = outputs.glob("sweeps/*/*/0/manifest.json")
    assert read_json(job)["created"] == ended


def test_a_finished_run_that_was_killed_before_its_page_gets_it(
    collected: Path, tmp_path: Path
) -> None:
    run = copied(collected, tmp_path)
    page = run / "report.html"
    page.unlink()
    assert main([f"resume={run}"]) == 0 and page.is_file()
    page.write_text("of the interrupted run")
    os.utime(page, (0, 0))
    assert main([f"resume={run}"]) == 0 and "<html" in page.read_text()
    page.write_text("newer")
    assert main([f"resume={run}"]) == 0 and page.read_text() == "newer"
