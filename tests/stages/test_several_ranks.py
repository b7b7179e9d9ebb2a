"""Stages that torchrun's processes share out: two compute what one does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import newest, small
from equality import fails_at
from several_ranks import in_double, in_ranks, needs_fork, widest_difference

from world_models.data.batch import LatentBatch, TokenBatch
from world_models.runs import ranks, training
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.training import Training
from world_models.stages import mdrnn, pixel, token_world, tokenizer, vae
from world_models.stages.pixel import learning as pixel_learning

pytestmark = [needs_fork, pytest.mark.slow]

WITHIN = 1e-7
"""In float64; in float32 rounding grows to 1e-2 within 50 steps of V."""
KEYS = {
    "vae": [
        "num_epochs=2",
        "train_batch_size=16",
        "horizontal_flip=true",
        "motion_weight=1",
        "kl_tolerance=0.1",
        "checkpoint_interval=19",
    ],
    # 8 rows that carry a state; near the end of an epoch fewer than there are processes
    "mdrnn": [
        "sequences=episodes",
        "num_epochs=5",
        "batch_size=8",
        "seq_len=6",
        "dropout=0.2",
        "done_weight=3",
        "checkpoint_interval=19",
    ],
    "pixel": [
        "max_steps=50",
        "ends=true",
        "rewards=true",
        "val_every_steps=50",
        "checkpoint_interval=19",
        "log_every=10",
    ],
    "tokenizer": [
        "max_steps=50",
        "motion_weight=1",
        "val_every_steps=50",
        "checkpoint_interval=19",
        "log_every=10",
    ],
    "token_world": [
        "max_steps=50",
        "dropout=0.2",
        "seq_len=6",
        "context=2",
        "val_every_steps=50",
        "checkpoint_interval=19",
        "log_every=10",
    ],
}
STEPS = {"vae": 54, "mdrnn": 60, "pixel": 50, "tokenizer": 50, "token_world": 50}


def nothing(*_: Any, **__: Any) -> None:
    """In place of judging and drawing what is left behind."""


AFTERWARDS = {
    vae: ["best_model", "describe", "describe_blobs", "encode_episodes", "save_reconstructions"],
    mdrnn: [
        "load_vae",
        "WorldModel",
        "load_world_model",
        "judge_best",
        "show_dreams",
        "show_dream",
    ],
    pixel: ["show", "validate"],
    tokenizer: ["judge_baselines", "validate", "describe", "encode_episodes", "sha256"],
    token_world: ["validate", "describe"],
}
"""What each stage does beside training."""
assert all(hasattr(stage, name) for stage, names in AFTERWARDS.items() for name in names)


def only_training() -> None:
    """Compute in float64, and leave out what follows training."""
    in_double()
    # logged values are float32 elsewhere
    training.require_window = nothing
    for stage, names in AFTERWARDS.items():
        for name in names:
            setattr(stage, name, nothing)
    tokenizer.judge_baselines = lambda *_: []  # type: ignore[assignment]
    tokenizer.GradientLearner.take_best = nothing  # type: ignore[method-assign]
    token_world.TokenWorldLearner.take_best = nothing  # type: ignore[method-assign]
    for batch in (LatentBatch, TokenBatch):
        batch.to = doubled(batch)  # type: ignore[method-assign, assignment]
    actions = pixel_learning.model_actions
    pixel_learning.model_actions = lambda *given: actions(*given).double()


def doubled(kind: type) -> Callable[..., Any]:
    """`to`, which also makes all floats float64."""

    def to(batch: Any, device: str) -> Any:
        values = vars(batch).values()
        return kind(*(value.double() if value.is_floating_point() else value for value in values))

    return to


def upstream(stage: str, finished: Path, patch_run: Path) -> Path:
    """What feeds the stage."""
    feeders = {"mdrnn": finished / "vae", "token_world": patch_run}
    return feeders.get(stage, finished / "rollout")


def command(stage: str, feeder: Path, outputs: Path, *more: str) -> list[str]:
    keys = [f"stage.{key}" for key in KEYS[stage]]
    given = [f"upstream={feeder}", f"outputs={outputs}", "device=cpu", "verbosity=quiet"]
    return small(stage, *keys, *given, *more)


@pytest.mark.parametrize("stage", KEYS)
def test_two_processes_learn_what_one_does(
    stage: str, finished: Path, patch_run: Path, tmp_path: Path
) -> None:
    feeder = upstream(stage, finished, patch_run)
    for count in (1, 2):
        outputs = tmp_path / str(count)
        given = command(stage, feeder, outputs)
        for status, said in in_ranks(count, given, tmp_path / "said", only_training):
            assert status == 0, said
    one, two = (newest(tmp_path / str(count)) for count in (1, 2))
    last = "checkpoints/last.pt"
    assert torch.load(one / last)["step"] == STEPS[stage]
    assert widest_difference(one / last, two / last) < WITHIN
    rows = zip(read_csv(one / "metrics.csv"), read_csv(two / "metrics.csv"), strict=True)
    for left, right in rows:
        assert left.keys() == right.keys()
        for name in left:
            assert float(right[name]) == pytest.approx(float(left[name]), rel=1e-6), name


@pytest.mark.parametrize("stage", ["vae", "pixel", "tokenizer"])
def test_minutes_become_the_same_work_for_all(stage: str, finished: Path, tmp_path: Path) -> None:
    """Processes that planned otherwise would wait for each other for ever."""
    longer = "num_epochs=2" if stage == "vae" else "max_steps=null"
    keys = ["stage.minutes=0.005", f"stage.{longer}"]
    given = command(stage, finished / "rollout", tmp_path / "outputs", *keys)
    for status, said in in_ranks(2, given, tmp_path / "said", uneven):
        assert status == 0, said
    state = torch.load(newest(tmp_path / "outputs") / "checkpoints/last.pt")
    assert state["frames_per_epoch" if stage == "vae" else "total_steps"] > 0


def uneven() -> None:
    """The second process has another clock."""
    only_training()
    if not ranks.is_first():
        clock = time.monotonic
        time.monotonic = lambda: 9 * clock()  # type: ignore[assignment]


def cut_off() -> None:
    """A Ctrl-C that comes to the first process in the middle of an epoch."""
    only_training()
    update = fails_at(30 if ranks.is_first() else 0, Training.update)
    Training.update = update  # type: ignore[method-assign]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_resumed_by_another_number_of_processes(
    before: int, after: int, finished: Path, tmp_path: Path
) -> None:
    """M in whole episodes, whose carried states lie with all processes."""
    often = "stage.checkpoint_interval=7"
    given = command("mdrnn", finished / "vae", tmp_path / "cut", often)
    statuses = [status for status, _ in in_ranks(before, given, tmp_path / "said", cut_off)]
    assert statuses == [130, 1][:before]
    run = newest(tmp_path / "cut")
    assert read_json(run / "manifest.json")["status"] == "interrupted"
    state = torch.load(run / "checkpoints/last.pt")
    assert (state["step"], state["batch"]) == (28, 4)
    assert all(bool(part.any(1).all()) for part in state["carried"]), "of the rows of all"
    for status, said in in_ranks(after, [f"resume={run}"], tmp_path / "said", only_training):
        assert status == 0, said
    given = command("mdrnn", finished / "vae", tmp_path / "whole")
    assert in_ranks(1, given, tmp_path / "said", only_training)[0][0] == 0
    last = "checkpoints/last.pt"
    assert widest_difference(newest(tmp_path / "whole") / last, run / last) < WITHIN


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


def test_ctrl_c_of_torchrun_is_resumed(finished: Path, tmp_path: Path) -> None:
    """By torchrun itself, once from its start to Ctrl-C and once to the end."""
    begin = command("mdrnn", finished / "vae", tmp_path / "outputs")
    run_it = [sys.executable, *TORCHRUN, "world_models.main"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([*run_it, *begin], env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("outputs/*/*/*/checkpoints/last.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode != 0 and "error:" not in said
    run = newest(tmp_path / "outputs")
    assert read_json(run / "manifest.json")["status"] == "interrupted"
    subprocess.run([*run_it, f"resume={run}"], env=env, check=True, timeout=480)
    manifest = read_json(run / "manifest.json")
    assert manifest["status"] == "finished" and len(manifest["resumed"]) == 1
