"""Keys of the stages: what each of them changes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from commands import newest, small

from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv

ROOT = Path(__file__).parents[2]


def test_a_trained_agent_can_collect_the_next_episodes(finished: Path, tmp_path: Path) -> None:
    agent = finished  # a pipeline's folder
    assert (
        main(
            small(
                "rollout",
                "stage.policy=agent",
                f"stage.agent={agent}",
                f"outputs={tmp_path}",
                "stage.noise=0.3",
            )
        )
        == 0
    )
    store = EpisodeStore.open(newest(tmp_path) / "episodes")
    assert len(store.rows) == 24 and store.manifest["policy"] == "agent"
    assert [item["kind"] for item in read_json(newest(tmp_path) / "manifest.json")["inputs"]] == [
        "agent"
    ]
    mine = [store.episode(row).actions.tobytes() for row in store.rows]
    theirs = EpisodeStore.open(finished / "rollout/episodes")
    assert mine != [theirs.episode(row).actions.tobytes() for row in theirs.rows]


def test_an_agent_of_another_env_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = finished / "controller/agent.pt"
    assert (
        main(
            small(
                "rollout",
                "stage.policy=agent",
                f"stage.agent={agent}",
                f"outputs={tmp_path}",
                "env.grayscale=true",
            )
        )
        == 1
    )
    assert "was trained on WorldModels/Pellet-v0 with other settings" in capsys.readouterr().err


def test_validation_episodes_are_the_last_and_play_other_seeds(finished: Path) -> None:
    rows = EpisodeStore.open(finished / "rollout/episodes").rows
    assert [row.split for row in rows] == ["train"] * 22 + ["validation"] * 2
    assert all((row.seed >= 1 << 30) == (row.split == "validation") for row in rows)


@pytest.mark.slow
def test_no_validation_episodes_means_none_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(small("rollout", "stage.val_fraction=0", f"outputs={tmp_path}")) == 0
    assert {row.split for row in EpisodeStore.open(newest(tmp_path) / "episodes").rows} == {"train"}
    assert main(small("vae", f"outputs={tmp_path}", "stage.num_epochs=1")) == 0
    assert main(small("mdrnn", f"outputs={tmp_path}", "stage.num_epochs=1")) == 0
    assert caplog.text.count("have no validation split") == 2


@pytest.mark.slow
def test_procgen_trains_without_the_final_frames_that_it_does_not_give(tmp_path: Path) -> None:
    keys = ["env=coinrun", "env.num_levels=3", "threads=1", f"outputs={tmp_path}"]
    rollout = [
        "stage.episodes=4",
        "stage.shard_size=2",
        "stage.max_steps=40",
        "stage.workers=0",
        "stage.val_fraction=0.25",
    ]
    assert main(["stage=rollout", *keys, *rollout]) == 0
    manifest = read_json(newest(tmp_path) / "episodes/manifest.json")
    assert manifest["has_final_frame"] is False and manifest["policy"] == "sticky"
    assert main(["stage=vae", *keys, "stage.num_epochs=1", "stage.latent_size=4"]) == 0
    assert main(["stage=mdrnn", *keys, "stage.num_epochs=1", "stage.hidden_size=8"]) == 0
    assert (newest(tmp_path) / "images/dream.png").is_file()


def test_the_same_seed_plays_the_same_procgen_games(tmp_path: Path) -> None:
    keys = {"episodes": 3, "shard_size": 2, "max_steps": 15, "workers": 0, "val_fraction": 0.4}
    arguments = [
        "stage=rollout",
        "env=coinrun",
        *(f"stage.{key}={value}" for key, value in keys.items()),
    ]
    shards = []
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        assert main([*arguments, f"seed={seed}", f"outputs={tmp_path / name}"]) == 0
        shards.append(read_json(newest(tmp_path / name) / "episodes/manifest.json")["shards"])
    assert shards[0] == shards[1] != shards[2] and len(shards[0]) == 2


def test_early_stopping_ends_training(finished: Path, tmp_path: Path) -> None:
    keys = [
        "stage.learning_rate=1e-12",
        "stage.num_epochs=50",
        "stage.early_stopping_patience=2",
        f"outputs={tmp_path}",
    ]
    assert main(small("mdrnn", f"upstream={finished / 'vae'}", *keys)) == 0
    assert len(read_csv(newest(tmp_path) / "val_metrics.csv")) < 50


def test_minutes_become_steps_once(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.generations=null", "stage.minutes=0.02", f"outputs={tmp_path}"]
    assert main(small("controller", f"upstream={finished / 'mdrnn'}", *keys)) == 0
    run = newest(tmp_path)
    state = torch.load(run / "checkpoints/last.pt")
    steps = [0, *(int(row["env_steps"]) for row in read_csv(run / "metrics.csv"))]
    assert steps[-2] < state["rate"] * 60 * 0.02 <= steps[-1] == state["env_steps"]
    assert main([f"resume={run}", "stage.minutes=0.04"]) == 0
    longer = [0, *(int(row["env_steps"]) for row in read_csv(run / "metrics.csv"))]
    assert longer[: len(steps)] == steps and longer[-2] < state["rate"] * 60 * 0.04 <= longer[-1]


def test_the_target_return_ends_the_search(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.target_return=0", "stage.generations=50", f"outputs={tmp_path}"]
    assert main(small("controller", f"upstream={finished / 'mdrnn'}", *keys)) == 0
    assert len(read_csv(newest(tmp_path) / "metrics.csv")) == 2, (
        "the first test is after two generations"
    )


def test_the_mean_vector_can_be_evaluated_too(finished: Path, tmp_path: Path) -> None:
    assert (
        main(
            small(
                "evaluate",
                f"upstream={finished / 'controller'}",
                "stage.which=mean",
                f"outputs={tmp_path}",
            )
        )
        == 0
    )
    assert read_json(newest(tmp_path) / "scores.json")["which"] == "mean"


@pytest.mark.slow
def test_quiet_says_nothing_and_debug_says_more(tmp_path: Path) -> None:
    def output(verbosity: str) -> str:
        command = [
            sys.executable,
            "-m",
            "world_models.main",
            *small("rollout", f"outputs={tmp_path}", f"verbosity={verbosity}"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert output("quiet") == ""
    info, debug = output("info"), output("debug")
    assert "24 episodes" in info and len(debug.splitlines()) > len(info.splitlines())


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_a_run_that_can_go_on(tmp_path: Path) -> None:
    arguments = small(
        "rollout",
        f"outputs={tmp_path}",
        "stage.workers=2",
        "stage.episodes=4000",
        "stage.shard_size=50",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "world_models.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/*/*/episodes/shard_00002.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and b"Traceback" not in error and b"interrupted" in error
    psutil.wait_procs(children, timeout=15)
    assert not any(child.is_running() for child in children)
    assert read_json(newest(tmp_path) / "manifest.json")["status"] == "interrupted"
    assert main([f"resume={newest(tmp_path)}"]) == 0
    assert len(EpisodeStore.open(newest(tmp_path) / "episodes").rows) == 4000


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_its_job(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.episodes=3000", "stage.shard_size=50"]
    arguments = small("rollout", *keys, "stage.workers=2", f"outputs={tmp_path / 'killed'}")
    process = subprocess.Popen(
        [sys.executable, "-m", "world_models.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("killed/*/*/*/episodes/shard_00002.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    workers = [
        child
        for child in psutil.Process(process.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    workers[0].kill()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0 and re.search(
        rb"it is done again|another takes its place", error
    ), error
    assert main(small("rollout", *keys, f"outputs={tmp_path / 'whole'}")) == 0
    shards = [
        read_json(newest(tmp_path / name) / "episodes/manifest.json")["shards"]
        for name in ("killed", "whole")
    ]
    assert shards[0] == shards[1]
