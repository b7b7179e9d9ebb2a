"""Run folders, sweeps and tables: how each is made, and what a reader sees of it."""

import json
from pathlib import Path
from typing import Any

from world_models.envs.actions import ActionSpace
from world_models.envs.config import Backend
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.runs.device import Device
from world_models.runs.folder import read_manifest
from world_models.runs.manifest import require_resumable
from world_models.runs.metrics import read_rows
from world_models.runs.past import PastRun
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.runs.sweeps import Sweep, write_sweep

SPEC = EnvSpec(
    "Counting-v0", {}, Preprocessing((0, 0, 0, 0), 16, False), 1,
    ActionSpace("discrete", 3, (), (), ()), 50,
)  # fmt: skip

VAE = "0" * 64

RUN: dict[str, Any] = {
    "schema": 1,
    "stage": "vae",
    "status": "finished",
    "created": "2026-01-01T00:00:00",
    "ended": "2026-01-01T01:00:00",
    "experiment": None,
    "env": SPEC.to_dict(),
    "seed": 0,
    "device": "cpu",
    "backend": "gymnasium",
    "inputs": [{"kind": "episodes", "path": "../a.json", "sha256": "0" * 64}],
    "resumed": [{"at": "2026-01-01", "overrides": ["threads=1"], "device": "cpu"}],
    "upstream": None,
    "threads": 1,
    "versions": {"python": "3.11"},
    "machine": {"cores": 2},
    "git": None,
    "choices": {"env": "pellet", "env_keys": []},
    "wall_seconds": 1.0,
}


def run_manifest(folder: Path) -> Path:
    (folder / "manifest.json").write_text(json.dumps(RUN))
    return folder / "manifest.json"


def seen_of_run(path: Path) -> Any:
    past = PastRun(path.parent)
    require_resumable(past.manifest, past.path)
    keys = ("inputs", "resumed", "upstream", "choices", "experiment", "threads")
    return past.stage, past.status, past.env, past.parts, [past.manifest[key] for key in keys]


def sweep_file(folder: Path) -> Path:
    jobs = [[f"seed={seed}", "stage=vae"] for seed in range(3)]
    write_sweep(
        folder, Sweep("2026-01-01", ["python"], ".", ["hydra/launcher=basic"], ["seed"], jobs)
    )
    return folder / "sweep.json"


def table(folder: Path) -> Path:
    """A table of a run that ended, with its checksum in the manifest."""
    manifest = {**RUN, "tables": []}
    run = Run(folder, 0, Device.cpu, Backend.gymnasium, SPEC, manifest=manifest)
    with run.recording():
        log = run.metrics(None)
        for step in range(8):
            log.write("timing", TimingRow(step=step, seconds=step / 3, rate=2.0))
    return folder / "timing.csv"


def seen_of_table(path: Path) -> Any:
    return read_rows(path, TimingRow)


def seen_of_table_of_a_run(path: Path) -> Any:
    manifest = read_manifest(path.parent)
    run = Run(path.parent, 0, Device.cpu, Backend.gymnasium, SPEC, manifest=manifest)
    with run.recording():
        return read_rows(path, TimingRow)
