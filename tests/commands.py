"""Command lines that run stages on Pellet in about a second each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from world_models.chains import catalogue
from world_models.runs.files import read_json
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import columns, required_columns

ENV = ["env=pellet", "threads=1"]
SMALL = {
    "rollout": ["episodes=24", "shard_size=6", "workers=0"],
    "vae": [
        "model=conv_small",
        "num_epochs=2",
        "train_batch_size=16",
        "latent_size=4",
        "checkpoint_interval=7",
        "sample_interval=1",
    ],
    "mdrnn": [
        "num_epochs=2",
        "batch_size=4",
        "seq_len=8",
        "hidden_size=12",
        "checkpoint_interval=5",
    ],
    "controller": [
        "generations=3",
        "pop_size=6",
        "n_samples=2",
        "num_envs=8",
        "test_interval=2",
        "selection_episodes=4",
        "max_workers=0",
        "sigma0=1.0",
    ],
    "evaluate": ["episodes=5", "num_envs=4", "workers=0", "windows=6", "horizon=4"],
    "pixel": [
        "max_steps=7",
        "widths=[8,12]",
        "condition=16",
        "data.batch_size=8",
        "unroll=[1,2]",
        "unroll_shares=[2,1]",
        "val_windows=12",
        "val_rollout_horizon=4",
        "val_every_steps=3",
        "log_every=2",
        "checkpoint_interval=2",
    ],
    "autoencoder": [
        "max_steps=5",
        "base_channels=8",
        "latent_channels=4",
        "data.batch_size=8",
        "val_frames=12",
        "val_every_steps=3",
        "log_every=2",
        "checkpoint_interval=2",
    ],
}
SMALL["tokenizer"] = [
    "max_steps=7",
    "base_channels=8",
    "downsamplings=4",
    "vocabulary=16",
    "code_size=8",
    "batch_size=8",
    "val_frames=12",
    "val_every_steps=3",
    "log_every=2",
    "checkpoint_interval=2",
]
SMALL["token_world"] = [
    "max_steps=7",
    "width=16",
    "heads=2",
    "layers=1",
    "seq_len=4",
    "batch_size=8",
    "val_windows=12",
    "horizon=3",
    "val_every_steps=3",
    "log_every=2",
    "checkpoint_interval=2",
]
SMALL["actor_critic"] = [
    "max_steps=7",
    "channels=8",
    "hidden=16",
    "batch_size=8",
    "horizon=3",
    "burn_in=2",
    "episodes=4",
    "num_envs=2",
    "val_every_steps=3",
    "log_every=2",
    "checkpoint_interval=2",
]
SMALL["rem"] = [
    "epochs=4",
    "evaluate_every=2",
    "episodes=4",
    "num_envs=2",
    "log_every=2",
    "checkpoint_interval=3",
    "collect.steps=40",
    "schedule.tokenizer.first=1",
    "schedule.tokenizer.updates=4",
    "schedule.world.first=2",
    "schedule.world.updates=4",
    "schedule.behaviour.first=3",
    "schedule.behaviour.updates=3",
    "tokenizer.kind=patch",
    "tokenizer.patch_size=16",
    "tokenizer.vocabulary=128",
    "tokenizer.batch_size=8",
    "tokenizer.val_frames=12",
    "world.width=16",
    "world.heads=2",
    "world.layers=1",
    "world.seq_len=4",
    "world.batch_size=8",
    "behaviour.channels=8",
    "behaviour.hidden=16",
    "behaviour.batch_size=8",
    "behaviour.horizon=3",
    "behaviour.burn_in=2",
]
SMALL["pixel_gray84"] = SMALL["pixel"]
STAGES = ["rollout", "vae", "mdrnn", "controller", "evaluate"]
"""Those of the pipeline."""


def small(stage: str, *more: str) -> list[str]:
    """Arguments that run a stage on Pellet in about a second."""
    return [f"stage={stage}", *ENV, *(f"stage.{item}" for item in SMALL[stage]), *more]


def small_pipeline(*more: str) -> list[str]:
    """Arguments that run all stages on Pellet in a few seconds."""
    keys = [f"stage.{stage}.{item}" for stage in STAGES for item in SMALL[stage]]
    return ["stage=pipeline", *ENV, *keys, *more]


def newest(outputs: Path) -> Path:
    """The run folder that was made last."""
    return max(outputs.glob("*/*/*/manifest.json"), key=lambda path: path.stat().st_mtime_ns).parent


def misfits(run: Path) -> list[str]:
    """What a run's tables have that the row of its stage does not name, and what they lack."""
    tables = catalogue.stage(read_json(run / "manifest.json")["stage"]).tables
    found = []
    for path in run.glob("*.csv"):
        have = path.read_text().partition("\n")[0].split(",")
        kind = tables[path.stem]
        odd = {*have} - {*columns(kind)} | {*required_columns(kind)} - {*have}
        found += [f"{path.name}: {name}" for name in sorted(odd)]
    return found


@contextmanager
def recorded_bars(labels: list[str]) -> Iterator[None]:
    """Inside, the label of every progress bar that is opened is added to `labels`."""
    enter = ProgressBar.__enter__

    def recorded(self: ProgressBar) -> ProgressBar:
        labels.append(self._label)
        return enter(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressBar, "__enter__", recorded)
        yield
