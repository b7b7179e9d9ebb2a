"""Every experiment, shortened, from an empty folder to its last page."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import newest

from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.groups import options
from world_models.config.schema import register
from world_models.runs.files import read_json
from world_models.runs.past import PastRun
from world_models.stages.rem.config import RemConfig

pytestmark = pytest.mark.slow

SHORT: dict[str, dict[str, Any]] = {
    "rollout": {"episodes": 6, "max_steps": 60, "shard_size": 2, "val_fraction": 0.34},
    "vae": {"num_epochs": 1, "minutes": None, "train_batch_size": 16},
    "mdrnn": {"num_epochs": 1, "hidden_size": 16, "seq_len": 8, "batch_size": 4},
    "controller": {
        "generations": 1,
        "env_steps": None,
        "minutes": None,
        "pop_size": 4,
        "n_samples": 1,
        "most_samples": None,
        "selection_episodes": 2,
        "time_limit": 30,
        "num_envs": 2,
    },
    "evaluate": {"episodes": 2, "num_envs": 2, "windows": 4, "horizon": 4},
    "pixel": {
        "max_steps": 3,
        "minutes": None,
        "widths": [8, 12],
        "condition": 16,
        "val_windows": 6,
        "val_rollout_horizon": 4,
    },
}
"""Keys of each stage of a chain, and what they are set to."""
TURNS = {
    "epochs": 2,
    "episodes": 2,
    "num_envs": 2,
    "evaluate_every": 2,
    "tokenizer.batch_size": 4,
    "tokenizer.val_frames": 8,
    "world.batch_size": 2,
    "behaviour.batch_size": 2,
    "behaviour.burn_in": 2,
    "collect.steps": 20,
    "collect.max_steps": 30,
    "collect.num_envs": 2,
    "schedule.tokenizer.first": 1,
    "schedule.tokenizer.updates": 2,
    "schedule.world.first": 1,
    "schedule.world.updates": 2,
    "schedule.behaviour.first": 2,
    "schedule.behaviour.updates": 2,
}
"""Keys of stage=rem, and what they are set to."""


def shortened(experiment: str) -> list[str]:
    """The overrides that make an experiment last seconds, and keep what it is about."""
    register(schemas())
    chain = compose_config([f"experiment={experiment}"]).config.stage
    if isinstance(chain, RemConfig):
        return [f"stage.{key}={value}" for key, value in TURNS.items()]
    parts = [name for name in SHORT if hasattr(chain, name)]
    keys = [(f"{name}.{key}", value) for name in parts for key, value in SHORT[name].items()]
    again = getattr(chain, "again", None)
    keys += [
        (f"again.{name}.{key}", SHORT[name][key])
        for name in parts
        for key in ("episodes", "num_epochs", "generations", "minutes")
        if key in SHORT[name] and hasattr(getattr(again, name, None), key)
    ]
    return [f"stage.{key}={'null' if value is None else value}" for key, value in keys]


@pytest.mark.parametrize("experiment", options("experiment"))
def test_it_runs_by_itself(experiment: str, tmp_path: Path) -> None:
    keys = [f"experiment={experiment}", "threads=1", *shortened(experiment)]
    command = [sys.executable, "-m", "world_models.main", *keys]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    run = newest(tmp_path / "outputs")
    folders = [run, *(run / part.folder for part in PastRun(run).parts)]
    manifests = [read_json(folder / "manifest.json") for folder in folders]
    assert len(manifests) > 2 or experiment.startswith("rem_")
    assert {manifest["status"] for manifest in manifests} == {"finished"}
    assert (run / "report.html").stat().st_size > 10_000
