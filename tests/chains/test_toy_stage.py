"""A new stage is one file, one entry in a list, one YAML and one report module,
and has everything that others have.
"""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ENV, SMALL, newest

from world_models import chains, report, stages
from world_models.config import groups
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun

FILES = Path(__file__).parent / "toy"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The house with a stage and a chain more; a folder for outputs."""
    for package, name in ((stages, "toy"), (report, "toy"), (chains, "twice")):
        kind = "chain" if package is chains else package.__name__.rpartition(".")[2].rstrip("s")
        folder = tmp_path / package.__name__
        folder.mkdir()
        shutil.copy(FILES / f"{kind}.py", folder / f"{name}.py")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.setattr(stages, "STAGES", [*stages.STAGES, "toy"])
    monkeypatch.setattr(chains, "CHAINS", [*chains.CHAINS, "twice"])
    conf = tmp_path / "conf"
    shutil.copytree(groups.config_folder(), conf)
    for name in ("toy", "twice"):
        text = (conf / "stage/vae.yaml").read_text().replace("vae", name)
        (conf / f"stage/{name}.yaml").write_text(text)
    monkeypatch.setattr(groups, "CONFIG_FOLDERS", (conf,))
    yield tmp_path / "outputs"
    for name in ("stages.toy", "report.toy", "chains.twice"):
        sys.modules.pop(f"world_models.{name}", None)
        package = sys.modules[f"world_models.{name.partition('.')[0]}"]
        package.__dict__.pop(name.partition(".")[2], None)


def run_toy(outputs: Path, rollout: Path, *more: str) -> int:
    return main(["stage=toy", *ENV, f"upstream={rollout}", f"outputs={outputs}", *more])


def test_it_runs_and_is_shown(
    toy: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(toy, finished / "rollout", "stage.scale=2") == 0
    run = newest(toy)
    score = read_json(run / "toy.json")["score"]
    page = (run / "report.html").read_text()
    assert "A sum, to be looked at." in page and ">Toy<" in page and f"{score:.1f}" in page
    assert 'stage=toy env=pellet upstream="$here"' in (run / "eval.sh").read_text()
    capsys.readouterr()
    assert main(["stage=runs", f"outputs={toy}"]) == 0
    assert f"{score:.1f}" in capsys.readouterr().out
    assert main(["stage=toy", *ENV, f"upstream={run}", f"outputs={toy}"]) == 0, "as eval.sh does"


def test_it_is_refused_and_resumed(
    toy: Path,
    finished: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_toy(toy, finished / "rollout", "stage.scale=0") == 1
    assert "stage.scale is 0" in capsys.readouterr().err and not toy.exists()
    assert run_toy(toy, finished / "rollout") == 0
    whole = newest(toy)
    from world_models.stages import toy as module

    def break_off(step: int) -> None:
        if step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "tick", break_off)
        assert run_toy(toy / "cut", finished / "rollout") == 130
    cut = newest(toy / "cut")
    assert PastRun(cut).status == "interrupted"
    assert main([f"resume={cut}"]) == 0
    assert (cut / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert read_json(cut / "toy.json") == read_json(whole / "toy.json")


@pytest.mark.slow
def test_it_is_swept(toy: Path, finished: Path) -> None:
    keys = ["stage.scale=1,2", "seed=1,2", f"upstream={finished / 'rollout'}", f"outputs={toy}"]
    assert main(["-m", "stage=toy", *ENV, *keys]) == 0
    (sweep,) = (toy / "sweeps").glob("*/*")
    rows = read_csv(sweep / "sweep.csv")
    assert {row["metric"] for row in rows} == {"toy score"} and len(rows) == 4
    assert (
        len(list((sweep / "plots").glob("*"))) > 0
        and "toy score" in (sweep / "report.html").read_text()
    )


def small_twice(outputs: Path, *more: str) -> list[str]:
    episodes = [f"stage.rollout.{item}" for item in SMALL["rollout"]]
    return ["stage=twice", *ENV, *episodes, f"outputs={outputs}", *more]


def test_it_has_a_place_in_a_chain_in_which_stages_occur_again(toy: Path) -> None:
    assert main(small_twice(toy)) == 0
    run = newest(toy)
    parts = [(part.folder, part.stage) for part in PastRun(run).parts]
    twice = [("rollout_1", "rollout"), ("toy_1", "toy"), ("rollout_2", "rollout"), ("toy_2", "toy")]
    assert parts == twice
    for number in (1, 2):
        used = PastRun(run / f"toy_{number}").input("episodes")
        assert used == run / f"rollout_{number}/episodes/manifest.json"
    page = (run / "report.html").read_text()
    assert all(f'id="{folder}"' in page for folder, _ in twice)
    assert main([f"resume={run}"]) == 0


def test_it_is_taken_from_elsewhere(toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(small_twice(toy, "stage.iterations=1")) == 0
    caplog.clear()
    assert main(small_twice(toy, "stage.iterations=1", "reuse=true")) == 0
    run = newest(toy)
    assert (run / "rollout_1").is_symlink() and (run / "toy_1").is_symlink()


def test_the_script_runs(toy: Path, finished: Path) -> None:
    assert run_toy(toy, finished / "rollout") == 0
    script = (newest(toy) / "eval.sh").read_text()
    assert script.startswith("#!/bin/sh") and os.access(newest(toy) / "eval.sh", os.X_OK)
    assert subprocess.run(["sh", "-n", newest(toy) / "eval.sh"], check=False).returncode == 0


@pytest.mark.parametrize("error", [KeyError("score"), ValueError("toy.json is damaged")])
def test_what_is_told_of_a_finished_run_does_not_spoil_it(
    toy: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(_: object) -> None:
        raise error

    for name in ("findings", "fill"):
        monkeypatch.setattr(importlib.import_module("world_models.report.toy"), name, fail)
    assert main([*small_twice(toy), "stage.iterations=1"]) == 0
    run = newest(toy)
    assert PastRun(run).status == PastRun(run / "toy_1").status == "finished"
    told = repr(error) if isinstance(error, KeyError) else str(error)
    assert "no verdict on" in caplog.text and "no report of" in caplog.text
    assert told in caplog.text
