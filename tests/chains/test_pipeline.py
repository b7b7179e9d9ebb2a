"""All of V-M-C in one run folder, through the command line."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import STAGES, newest, small

import world_models
from world_models.envs.make import Backend, make_vector_env
from world_models.main import main
from world_models.runs.files import read_json, sha256

FILES = {
    "rollout": ["episodes/manifest.json", "episodes.csv", "images/frames.png"],
    "vae": [
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "val_metrics.csv",
        "baselines.csv",
        "quality.json",
        "images/reconstructions.png",
        "images/traversals.png",
        "images/prior.png",
        "latents/manifest.json",
    ],
    "mdrnn": [
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "val_metrics.csv",
        "likelihood.csv",
        "open_loop.csv",
        "calibration.csv",
        "calibration_scores.csv",
        "ends.csv",
        "images/dream.png",
        "images/temperatures.png",
        "videos/dream.mp4",
        "videos/temperatures.mp4",
    ],
    "controller": [
        "checkpoints/last.pt",
        "metrics.csv",
        "selection.csv",
        "timing.csv",
        "agent.pt",
        "eval.sh",
    ],
    "evaluate": ["scores.json", "videos/best.mp4", "videos/median.mp4", "videos/worst.mp4"],
}
EVERYWHERE = [
    "config.yaml",
    "overrides.yaml",
    "manifest.json",
    "log.txt",
    "report.html",
    "resume.sh",
]


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_folder_holds_what_is_promised(finished: Path, stage: str) -> None:
    missing = [
        name for name in EVERYWHERE + FILES[stage] if not (finished / stage / name).is_file()
    ]
    assert missing == []
    manifest = read_json(finished / stage / "manifest.json")
    assert (
        manifest["status"] == "finished"
        and manifest["stage"] == stage
        and manifest["wall_seconds"] > 0
    )
    assert manifest["versions"]["torch"] and manifest["env"]["id"] == "WorldModels/Pellet-v0"


@pytest.mark.parametrize("stage", STAGES[1:])
def test_lineage_names_files_by_their_hash(finished: Path, stage: str) -> None:
    inputs = read_json(finished / stage / "manifest.json")["inputs"]
    assert inputs
    for item in inputs:
        data = (finished / stage / item["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == item["sha256"]


def test_the_controller_is_paired_with_the_vae_of_its_mdrnn(finished: Path) -> None:
    by_kind = {
        item["kind"]: item["sha256"]
        for item in read_json(finished / "controller/manifest.json")["inputs"]
    }
    assert by_kind == {
        "mdrnn": sha256(finished / "mdrnn/checkpoints/best.pt"),
        "vae": sha256(finished / "vae/checkpoints/best.pt"),
    }


def test_scores_are_the_returns_of_the_final_test_seeds(finished: Path) -> None:
    scores = read_json(finished / "evaluate/scores.json")
    assert scores["backend"] == "gymnasium" and len(scores["returns"]) == len(scores["seeds"]) == 5
    assert scores["mean"] == pytest.approx(np.mean(scores["returns"])) and scores[
        "std"
    ] == pytest.approx(np.std(scores["returns"]))
    assert scores["interval95"][0] <= scores["mean"] <= scores["interval95"][1]
    assert len(scores["random"]["returns"]) == 4, "its mean needs fewer"
    agent = world_models.load(finished / "controller/agent.pt")
    played = [play_by_hand(agent, seed) for seed in scores["seeds"]]
    assert played == list(zip(scores["returns"], scores["lengths"], strict=True))


def play_by_hand(agent: "world_models.Agent", seed: int) -> tuple[float, int]:
    envs = make_vector_env(agent.env, Backend.gymnasium, 1)
    frames, _ = envs.reset(seed=[seed])
    agent.reset(1)
    total, length, done = 0.0, 0, False
    while not done:
        frames, rewards, terminated, truncated, _ = envs.step(agent.act(frames))
        total, length = total + float(rewards[0]), length + 1
        done = bool(terminated[0] or truncated[0])
    return total, length


def test_search_log_counts_generations_and_episodes(finished: Path) -> None:
    metrics = rows(finished / "controller/metrics.csv")
    assert [row["generation"] for row in metrics] == ["1", "2", "3"]
    assert [row["episodes"] for row in metrics] == ["12", "24", "36"]
    assert all(float(row["worst"]) <= float(row["mean"]) <= float(row["best"]) for row in metrics)
    assert [row["generation"] for row in rows(finished / "controller/selection.csv")] == ["2", "3"]


def test_a_finished_pipeline_is_not_run_again(pipeline: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pipeline.rglob("*.pt")}
    assert main([f"resume={pipeline}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in pipeline.rglob("*.pt")} == before


@pytest.mark.slow
def test_stages_one_by_one_find_their_upstream(tmp_path: Path, finished: Path) -> None:
    outputs = f"outputs={tmp_path}"
    for stage in STAGES:
        assert main(small(stage, outputs)) == 0
    last = read_json(newest(tmp_path) / "manifest.json")
    assert last["stage"] == "evaluate"
    scores = read_json(newest(tmp_path) / "scores.json")
    assert scores["returns"] == read_json(finished / "evaluate/scores.json")["returns"]


@pytest.mark.slow
def test_scripts_work_from_another_directory(pipeline: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    manifest = read_json(pipeline / "vae/manifest.json")
    (pipeline / "vae/manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    for command in (
        [pipeline / "vae/resume.sh"],
        [pipeline / "eval.sh", f"outputs={elsewhere}", "stage.episodes=2", "stage.workers=0"],
    ):
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert read_json(pipeline / "vae/manifest.json")["status"] == "finished"
    assert len(read_json(newest(elsewhere) / "scores.json")["returns"]) == 2


def test_runs_lists_every_run_with_stage_status_and_score(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = finished.parents[2]
    assert main(["stage=runs", f"outputs={outputs}"]) == 0
    text = capsys.readouterr().out
    assert (
        all(stage in text for stage in ["pipeline", *STAGES]) and "finished" in text and "±" in text
    )


def test_an_agent_acts_reconstructs_and_dreams(finished: Path) -> None:
    agent = world_models.load(finished / "controller/agent.pt", which="mean")
    envs = make_vector_env(agent.env, Backend.auto, 3)
    frames, _ = envs.reset(seed=[1, 2, 3])
    agent.reset(3)
    actions = agent.act(frames)
    assert actions.shape == (3,) and set(actions) <= set(range(5))
    assert agent.reconstruct(frames).shape == frames.shape
    assert agent.dream(frames[:2], np.array([1, 2, 3, 4, 0]), horizon=3).shape == (3, 64, 64, 3)
    with pytest.raises(ValueError, match="which=worst is no controller"):
        world_models.load(finished / "controller/agent.pt", which="worst")


def test_keys_of_a_finished_stage_are_settled(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"resume={pipeline}", "stage.vae.num_epochs=5"]) == 1
    assert (
        "stage.vae.num_epochs cannot change from 2 to 5: vae is finished" in capsys.readouterr().err
    )


def test_a_pipeline_goes_on_where_it_was_cut_off(pipeline: Path) -> None:
    scores = read_json(pipeline / "evaluate/scores.json")
    shutil.rmtree(pipeline / "evaluate")
    shutil.rmtree(pipeline / "controller")
    before = sha256(pipeline / "mdrnn/checkpoints/last.pt")
    assert main([f"resume={pipeline}"]) == 0
    assert sha256(pipeline / "mdrnn/checkpoints/last.pt") == before
    assert read_json(pipeline / "evaluate/scores.json")["returns"] == scores["returns"]


def test_filmed_episodes_are_the_scored_ones(finished: Path) -> None:
    assert "when it was filmed" not in (finished / "evaluate/log.txt").read_text()


def test_a_report_that_cannot_be_written_is_said_and_ends_no_run(
    pipeline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (pipeline / "report.html").unlink()
    (pipeline / "report.html").mkdir()
    assert main([f"resume={pipeline}"]) == 0
    assert (
        "no report of" in caplog.text
        and read_json(pipeline / "manifest.json")["status"] == "finished"
    )
