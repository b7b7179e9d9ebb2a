"""A run that was stopped and resumed equals one that never was, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import STAGES, newest, small
from equality import assert_equal_runs, fails_at, same

from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.past import PastRun
from world_models.runs.training import Training
from world_models.search.evolution import Evolution
from world_models.stages import rollout

ROOT = Path(__file__).parents[2]


def upstream_of(stage: str, finished: Path) -> list[str]:
    if stage not in STAGES:
        return [f"upstream={finished / 'rollout'}"]
    index = STAGES.index(stage)
    return [f"upstream={finished / STAGES[index - 1]}"] if index else []


INTERRUPTS = {
    "rollout": (rollout, "write_shard", 3),
    "vae": (Training, "update", 40),
    "mdrnn": (Training, "update", 17),
    "controller": (Evolution, "tell", 2),
    "evaluate": (None, "", 0),
}


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_ctrl_c_then_resume_equals_uninterrupted(
    stage: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, call = INTERRUPTS[stage]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails_at(call, getattr(owner, name)))
        assert main(small(stage, *upstream_of(stage, finished), f"outputs={tmp_path}")) == 130
    run = newest(tmp_path)
    assert read_json(run / "manifest.json")["status"] == "interrupted"
    assert (run / "report.html").is_file(), "also a run that ended early has its page"
    assert main([f"resume={run}"]) == 0
    assert read_json(run / "manifest.json")["status"] == "finished"
    assert_equal_runs(finished / stage, run)


@pytest.mark.slow
def test_a_carried_state_is_resumed_in_the_middle_of_an_epoch(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["stage.sequences=episodes", "stage.mixture=per_dimension", "stage.latents=online"]
    command = small("mdrnn", f"upstream={finished / 'vae'}", *keys)
    assert main([*command, f"outputs={tmp_path / 'whole'}"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(13, Training.update))
        assert main([*command, f"outputs={tmp_path / 'cut'}"]) == 130
    run = newest(tmp_path / "cut")
    state = torch.load(run / "checkpoints/last.pt")
    assert (state["epoch"], state["batch"]) == (0, 10) and all(
        part.any() for part in state["carried"]
    )
    assert main([f"resume={run}"]) == 0
    assert_equal_runs(newest(tmp_path / "whole"), run)


MARKS = {
    "rollout": "episodes/shard_00001.json",
    "vae": "checkpoints/last.pt",
    "mdrnn": "checkpoints/last.pt",
    "controller": "checkpoints/last.pt",
    "evaluate": "log.txt",
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_then_resume_equals_uninterrupted(
    stage: str, finished: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "world_models.main",
        *small(stage, *upstream_of(stage, finished), f"outputs={tmp_path}"),
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not list(tmp_path.glob(f"*/*/*/{MARKS[stage]}")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = newest(tmp_path)
    assert PastRun(run).status == "interrupted", "killed while it ran"
    assert main([f"resume={run}"]) == 0
    assert_equal_runs(finished / stage, run)


@pytest.mark.slow
def test_a_longer_budget_goes_on_from_where_the_run_ended(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "longer"
    shutil.copytree(finished, run)
    assert main([f"resume={run / 'vae'}", "stage.num_epochs=3"]) == 0
    assert torch.load(run / "vae/checkpoints/last.pt")["epoch"] == 3
    assert (
        main(
            small(
                "vae",
                f"upstream={finished / 'rollout'}",
                "stage.num_epochs=3",
                f"outputs={tmp_path / 'fresh'}",
            )
        )
        == 0
    )
    fresh = newest(tmp_path / "fresh")
    assert same(
        torch.load(run / "vae/checkpoints/last.pt")["model"],
        torch.load(fresh / "checkpoints/last.pt")["model"],
    )


@pytest.mark.slow
def test_one_worker_equals_many(finished: Path, tmp_path: Path) -> None:
    for stage, key in (("rollout", "stage.workers=2"), ("controller", "stage.max_workers=2")):
        assert main(small(stage, *upstream_of(stage, finished), key, f"outputs={tmp_path}")) == 0
        assert_equal_runs(finished / stage, newest(tmp_path))


@pytest.mark.slow
def test_a_longer_budget_outlives_the_next_cut(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "cut"
    shutil.copytree(finished, run)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(30, Training.update))
        assert main([f"resume={run / 'vae'}", "stage.num_epochs=4"]) == 130
    assert main([f"resume={run / 'vae'}"]) == 0
    assert torch.load(run / "vae/checkpoints/last.pt")["epoch"] == 4


@pytest.mark.slow
def test_a_pipeline_whose_budget_grew_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "grown"
    shutil.copytree(finished, run)
    for stage in ("controller", "evaluate"):
        shutil.rmtree(run / stage)
    command = [f"resume={run}", "stage.controller.generations=4"]
    with monkeypatch.context() as patch:
        patch.setattr(Evolution, "tell", fails_at(2, Evolution.tell))
        assert main([f"resume={run}"]) == 130
    with monkeypatch.context() as patch:
        patch.setattr("world_models.stages.evaluate.film", fails_at(1, lambda *rest: None))
        assert main(command) == 130
    assert main(command) == 0
    assert len(torch.load(run / "controller/checkpoints/last.pt")["segments"][-1]["history"]) == 4
    assert "env=pellet" in (run / "controller/eval.sh").read_text()
    assert (run / "controller/overrides.yaml").read_text() == (run / "overrides.yaml").read_text()
