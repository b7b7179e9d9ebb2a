"""A program of the user's own is what scripts and pages name, and what goes on with its runs."""

import csv
import importlib
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from world_models.config import groups
from world_models.main import main
from world_models.runs import program
from world_models.runs.files import read_json
from world_models.runs.program import Program

SCRIPT = '''"""Guesses."""

import json
import sys
from dataclasses import dataclass

from world_models.config.stage import Stage
from world_models.main import main
from world_models.report.headline import Headline
from world_models.stages import add_stage

TITLE = LEAD = "Guesses"
CAPTIONS = ()


@dataclass
class SeekerConfig:
    kind: str = "linear"  # what is guessed


def execute(cfg, run):
    if cfg.kind == "stop":
        raise KeyboardInterrupt
    score = run.seed + len(cfg.kind)
    (run.path / "score.json").write_text(json.dumps(score))


def headline(folder):
    path = folder / "score.json"
    return Headline("score", json.loads(path.read_text()), True) if path.is_file() else None


def findings(folder):
    return []


def fill(section):
    pass


STAGE = Stage("seeker", SeekerConfig, execute)
add_stage(sys.modules[__name__])
if __name__ == "__main__":
    sys.exit(main())
'''


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that adds stage=seeker, in a folder beside the one where the test works."""
    path = tmp_path / "my files" / "seeker.py"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "_started", Program())
    yield path
    groups.OWN_STAGES.pop("seeker", None)


def typed(script: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """What `python "my files/seeker.py" ...` exits with."""
    name = str(script.relative_to(Path.cwd()))
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", [name, *words])
        runpy.run_path(name, run_name="__main__")
    groups.OWN_STAGES.clear()
    return int(str(ended.value.code))


def sweep_of(outputs: Path) -> Path:
    (note,) = outputs.glob("sweeps/*/*/sweep.json")
    return note.parent


def words_of(resume: Path, cwd: Path) -> list[str]:
    """What a script gives Python, seen from another folder."""
    echo = cwd / "echo"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$PYTHONPATH" "$@"\n')
    echo.chmod(0o755)
    resume.write_text(
        resume.read_text().replace(shlex.quote(sys.executable), shlex.quote(str(echo)))
    )
    done = subprocess.run([str(resume), "x=1"], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


SWEEP = ["-m", "stage=seeker", "env=pellet", "threads=1", "outputs=outputs"]


@pytest.mark.slow
def test_a_sweep_of_ones_own_stage_goes_on_with_the_file_that_began_it(
    script: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*SWEEP, "stage.kind=linear,mlp"]
    assert typed(script, monkeypatch, *words) == 0
    sweep = sweep_of(Path("outputs")).absolute()
    command = ["python", "my files/seeker.py", *words]
    assert read_json(sweep / "1/manifest.json")["command"] == command
    assert " ".join(command) in (sweep / "report.html").read_text()
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}
    capsys.readouterr()
    assert main([f"resume={sweep}"]) == 1
    said = capsys.readouterr().err
    assert "sweeps/" in said and "/0 is a run of stage seeker, which this version does not " in said
    assert "run the script that adds it" in said
    assert {path: path.stat().st_mtime_ns for path in sweep.rglob("*")} == before
    assert typed(script, monkeypatch, f"resume={sweep}") == 0
    table = list(csv.DictReader((sweep / "sweep.csv").open()))
    assert [row["best"] for row in table] == ["6", "3"]
    for folder in (sweep, sweep / "1"):
        given = words_of(folder / "resume.sh", tmp_path / "my files")
        assert given[1:] == [str(script), f"resume={folder}", "x=1"]


def test_a_job_that_is_not_begun_is_refused_too(
    script: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert typed(script, monkeypatch, *SWEEP, "stage.kind=mlp,stop") == 130
    assert "score: 3.00" in caplog.text
    sweep = sweep_of(Path("outputs"))
    resume = shlex.quote(str(sweep.absolute() / "resume.sh"))
    assert f"the sweep is interrupted; continue with {resume}" in caplog.text
    shutil.rmtree(sweep / "0")
    assert main([f"resume={sweep}"]) == 1
    assert f"{sweep}/0 is a run of stage seeker" in capsys.readouterr().err
    assert not (sweep / "sweep.csv").exists()


def test_a_module_that_m_started_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "mine" / "begin.py"
    module.parent.mkdir()
    module.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", importlib.import_module("mine.begin"))
    monkeypatch.setattr(sys, "argv", [str(module), "a=1"])
    found = program.found(["a=1"])
    assert found.command == ["python", "-m", "mine.begin", "a=1"]
    script = tmp_path / "resume.sh"
    script.write_text(f"#!/bin/sh\nexec {found.shell}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", "/before")
    assert words_of(script, module.parent) == [f"{tmp_path}:/before", "-m", "mine.begin"]


@pytest.mark.parametrize("name", ["bin/world-models", "main", "pytest"])
def test_ours_is_started_as_a_module(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where other code gave `main` its arguments."""
    path = program.MAIN if name == "main" else tmp_path / name
    if path != program.MAIN:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(sys, "argv", [str(path), "seed=1" if name != "pytest" else "-q"])
    found = program.found(["seed=1"])
    assert found.command == ["python", "-m", "world_models.main", "seed=1"]
    assert found.shell == shlex.join([sys.executable, "-m", "world_models.main"])
