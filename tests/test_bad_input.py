"""Bad input ends in one clear sentence that names file or key, exit status 1,
and nothing is lost.
"""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import newest, small

from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.folder import locked


def refused(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(arguments) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and re.search(sentence, error[0]), error


def test_no_upstream_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        small("vae", f"outputs={tmp_path}"),
        (
            r"stage=vae needs a finished rollout run of WorldModels/Pellet-v0 .*run stage=rollout "
            r"first"
        ),
        capsys,
    )
    assert list(tmp_path.iterdir()) == []


def test_upstream_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        small("vae", f"outputs={tmp_path}", f"upstream={tmp_path / 'no'}"),
        r"upstream=.*no does not exist",
        capsys,
    )
    refused(
        small("vae", f"outputs={tmp_path}", f"upstream={tmp_path}"),
        r"is no run folder: it has no manifest\.json",
        capsys,
    )
    refused([f"resume={tmp_path}"], r"is no run folder", capsys)


@pytest.mark.parametrize("choice", ["stage=mdrnn", "env=car_racing", "experiment=demo"])
def test_a_resumed_run_is_what_it_is(
    choice: str, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([f"resume={pipeline / 'vae'}", choice], f"{choice}: that is settled by", capsys)


@pytest.mark.parametrize("choice", ["stage=null", "env=null"])
def test_a_choice_that_must_be_made(choice: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["stage=rollout", "env=pellet", choice], f"{choice} does not exist; choose", capsys)


def test_upstream_of_another_stage(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = small("mdrnn", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'rollout'}")
    refused(arguments, r"is a rollout run; stage=mdrnn needs a vae run", capsys)


def test_upstream_of_another_env(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        *small("vae", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'rollout'}"),
        "env=car_racing",
    ]
    refused(
        arguments,
        r"was made with another env: id is WorldModels/Pellet-v0 there and CarRacing-v3 here",
        capsys,
    )
    arguments[-1] = "env.frame_skip=2"
    refused(arguments, r"frame_skip is 1 there and 2 here", capsys)


def test_upstream_that_is_not_finished(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_json(pipeline / "rollout/manifest.json")
    (pipeline / "rollout/manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    refused(
        small("vae", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'rollout'}"),
        r"is not finished \(interrupted\)",
        capsys,
    )


def test_truncated_shard(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = pipeline / "rollout/episodes/shard_00001_frames.npy"
    shard.write_bytes(shard.read_bytes()[:-100])
    refused(
        small("vae", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'rollout'}"),
        r"shard_00001_frames\.npy",
        capsys,
    )


def test_altered_shard(pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewards = np.load(pipeline / "rollout/episodes/shard_00002_rewards.npy", mmap_mode="r+")
    rewards[0] = 7
    rewards.flush()
    refused(
        small("vae", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'rollout'}"),
        r"shard_00002_rewards\.npy",
        capsys,
    )


def test_missing_shard(pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pipeline / "rollout/episodes/shard_00000_done.npy").unlink()
    refused(
        small("vae", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'rollout'}"),
        r"shard_00000_done\.npy",
        capsys,
    )


def test_truncated_checkpoint(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = pipeline / "vae/checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:5000])
    refused(
        [f"resume={pipeline / 'vae'}", "stage.num_epochs=3"],
        r"last\.pt is truncated or no checkpoint of ours",
        capsys,
    )


def test_checkpoint_of_another_kind(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pipeline / "mdrnn/checkpoints/last.pt").write_bytes(
        (pipeline / "vae/checkpoints/last.pt").read_bytes()
    )
    arguments = [f"resume={pipeline / 'mdrnn'}", "stage.num_epochs=3"]
    refused(arguments, r"holds a checkpoint of kind 'vae' where 'mdrnn' is needed", capsys)


def test_upstream_checkpoint_that_changed(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pipeline / "vae/checkpoints/best.pt"
    content: dict[str, Any] = torch.load(path)
    torch.save({**content, "epoch": 99}, path)
    outputs = f"outputs={tmp_path / 'o'}"
    refused(
        small("controller", outputs, f"upstream={pipeline / 'mdrnn'}"),
        r"best\.pt has changed since .*mdrnn was built on it",
        capsys,
    )
    refused(small("mdrnn", outputs, f"upstream={pipeline / 'vae'}"), r"latents", capsys)
    refused(
        [f"resume={pipeline / 'mdrnn'}", "stage.num_epochs=3"],
        r"best\.pt has changed since this run began",
        capsys,
    )


@pytest.mark.parametrize("stage", ["vae", "mdrnn"])
def test_nan_in_the_loss(
    stage: str, pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream = {"vae": "rollout", "mdrnn": "vae"}[stage]
    arguments = small(
        stage,
        f"outputs={tmp_path / 'o'}",
        f"upstream={pipeline / upstream}",
        "stage.learning_rate=1e18",
        "stage.num_epochs=9",
    )
    refused(
        arguments,
        rf"the {stage} loss or a weight became NaN or infinite .*lower stage\.learning_rate",
        capsys,
    )
    run = newest(tmp_path / "o")
    assert read_json(run / "manifest.json")["status"] == "failed"
    last = run / "checkpoints/last.pt"
    assert not last.exists() or all(
        value.isfinite().all() for value in torch.load(last)["model"].values()
    )


def test_outputs_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(
        small("rollout", f"outputs={tmp_path / 'file'}"),
        r"file.* cannot be made.*choose another folder with outputs=",
        capsys,
    )


def test_two_writers_on_one_folder(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(pipeline / "vae"):
        refused(
            [f"resume={pipeline / 'vae'}", "stage.num_epochs=3"],
            r"is being written by another process",
            capsys,
        )
    assert main([f"resume={pipeline / 'vae'}"]) == 0


def test_env_without_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (
        "import gymnasium\n"
        "class Blind(gymnasium.Env):\n"
        "  observation_space = action_space = gymnasium.spaces.Discrete(2)\n"
    )
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    import gymnasium

    gymnasium.register("WorldModelsTest/Blind-v0", entry_point=namespace["Blind"])
    refused(
        [
            "stage=rollout",
            "env=gymnasium",
            "env.id=WorldModelsTest/Blind-v0",
            f"outputs={tmp_path}",
        ],
        r"Blind-v0.*pixel",
        capsys,
    )


def test_frames_that_v_cannot_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["env.size=32", f"outputs={tmp_path}"]
    assert main(small("rollout", *size)) == 0
    refused(
        small("vae", *size),
        r"stage=vae takes 64x64 frames and these are 32x32: collect episodes with env\.size=64",
        capsys,
    )


def test_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "envpool" else find_spec(name, *rest),
    )
    arguments = ["stage=rollout", "env=car_racing", "env.backend=envpool", f"outputs={tmp_path}"]
    refused(arguments, r'env\.backend=envpool needs the extra "fast": pip install', capsys)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "wandb" else find_spec(name, *rest),
    )
    refused(
        small("rollout", "wandb.mode=offline", f"outputs={tmp_path}"),
        r'needs the extra "wandb"',
        capsys,
    )


def test_cuda_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(
        small("rollout", "device=cuda", f"outputs={tmp_path}"),
        r"device=cuda was asked for, but torch finds no GPU",
        capsys,
    )


def test_resume_with_other_settings(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        [f"resume={pipeline / 'vae'}", "stage.latent_size=9"],
        r"stage\.latent_size was 4 and is now 9: it cannot change",
        capsys,
    )
    refused(
        [f"resume={pipeline / 'vae'}", "stage.num_epocs=9"], r"stage\.num_epocs is no key", capsys
    )


@pytest.mark.slow
def test_full_disk(pipeline: Path, tmp_path: Path) -> None:
    """A file-size limit stands for a full disk: the checkpoint cannot be written,
    what was there stays readable.
    """
    before = (pipeline / "vae/checkpoints/last.pt").read_bytes()
    resumed = f'"{sys.executable}" -m world_models.main resume="{pipeline / "vae"}"'
    command = f"ulimit -f 2000; exec {resumed} stage.num_epochs=3"
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {command}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr, (
        done.stderr
    )
    assert (pipeline / "vae/checkpoints/last.pt").read_bytes() == before
    assert not list((pipeline / "vae/checkpoints").glob(".*tmp"))


@pytest.mark.slow
def test_an_altered_shard_is_noticed_by_m_too(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = small("mdrnn", f"outputs={tmp_path / 'o'}", f"upstream={pipeline / 'vae'}")
    for shard in (
        pipeline / "vae/latents/shard_00000_mu.npy",
        pipeline / "rollout/episodes/shard_00001_actions.npy",
    ):
        before = shard.read_bytes()
        values = np.load(shard, mmap_mode="r+")
        values[0] += 1
        values.flush()
        refused(arguments, shard.name, capsys)
        shard.write_bytes(before)
    assert main(arguments) == 0


@pytest.mark.parametrize("stage", ["vae", "mdrnn"])
def test_nan_before_the_first_checkpoint(
    stage: str, pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream = f"upstream={pipeline / {'vae': 'rollout', 'mdrnn': 'vae'}[stage]}"
    arguments = small(
        stage,
        f"outputs={tmp_path / 'o'}",
        upstream,
        "stage.learning_rate=1e18",
        "stage.checkpoint_interval=500",
    )
    refused(arguments, rf"the {stage} loss or a weight became NaN or infinite", capsys)
    assert not list((tmp_path / "o").glob("*/*/*/checkpoints/*.pt"))


def test_a_log_that_lost_rows(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pipeline / "vae/val_metrics.csv").write_text("")
    refused(
        [f"resume={pipeline / 'vae'}", "stage.num_epochs=3"],
        r"val_metrics\.csv is damaged: it has changed since the run ended",
        capsys,
    )


def test_an_upstream_that_would_be_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        small("rollout", f"outputs={tmp_path}", f"upstream={tmp_path}"),
        r"upstream=.* is of no use: stage=rollout reads no other",
        capsys,
    )


def test_policies_that_do_not_fit_leave_no_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        small("rollout", "stage.policy=brownian", f"outputs={tmp_path}"),
        r"needs Box actions.*use sticky",
        capsys,
    )
    agent = ["stage.policy=agent", f"stage.agent={tmp_path / 'none.pt'}"]
    refused(
        small("rollout", *agent, f"outputs={tmp_path}"),
        r"none\.pt does not exist: give .*an agent\.pt",
        capsys,
    )
    refused(
        small("rollout", "stage.workers=-5", f"outputs={tmp_path}"), r"stage\.workers is -5", capsys
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["-m", "stage=vae", "stage.num_epoch=1,2"],
            r"stage\.num_epoch is no key; did you mean stage\.num_epochs",
        ),
        pytest.param(
            ["-m", "stage=vae", "env=pellet", "seed=1,2"],
            r"stage=vae needs a finished rollout run",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["-m", "stage=vae", "stage.learning_rate=-1,2"],
            r"stage\.learning_rate is -1\.0; it must be above 0",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mistakes_in_a_sweep(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "world_models.main", *arguments, f"outputs={tmp_path}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    lines = done.stderr.splitlines()  # of a job that failed, Hydra names the overrides first
    assert (
        done.returncode == 1 and len(lines) <= 2 and re.search(f"^error: {sentence}", lines[-1])
    ), done.stderr
