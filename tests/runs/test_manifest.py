"""Manifests of runs and sweep.json are parsed, not trusted."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from world_models.envs.config import Backend
from world_models.runs.device import Device
from world_models.runs.folder import read_manifest
from world_models.runs.manifest import require_resumable
from world_models.runs.past import PastRun, all_runs
from world_models.runs.run import Run
from world_models.runs.sweeps import Sweep, failure, read_sweep, write_sweep

MANIFEST: dict[str, Any] = {
    "stage": "vae",
    "status": "finished",
    "created": "2026-01-01T00:00:00",
    "ended": "2026-01-01T01:00:00",
    "experiment": None,
    "env": {"id": "A"},
    "seed": 0,
    "device": "cpu",
    "inputs": [{"kind": "episodes", "path": "../a.json", "sha256": "0" * 64}],
    "resumed": [{"at": "2026-01-01", "overrides": ["threads=1"], "device": "cpu"}],
    "upstream": None,
    "threads": 1,
    "versions": {"python": "3.11"},
    "machine": {"cores": 2},
    "git": None,
    "choices": {"env": "pellet", "env_keys": []},
}
ODD = [
    ("status", "fine"),
    ("status", None),
    ("created", None),
    ("created", 20260101),
    ("env", {}),
    ("env", "A"),
    ("inputs", [{"kind": "episodes"}]),
    ("inputs", [{"kind": "episodes", "path": 3, "sha256": "0" * 64}]),
    ("inputs", {"kind": "episodes"}),
    ("resumed", [{"overrides": "threads=1"}]),
    ("wall_seconds", -1.0),
    ("wall_seconds", "long"),
    ("parts", [{"folder": "vae"}]),
    ("reused", {"vae": 3}),
    ("stage", ["vae"]),
]


def write(folder: Path, manifest: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(("key", "value"), ODD)
def test_a_manifest_in_which_something_cannot_be_is_refused(
    tmp_path: Path, key: str, value: Any
) -> None:
    folder = write(tmp_path, {**MANIFEST, key: value})
    with pytest.raises(ValueError, match=rf"manifest\.json is damaged: {key}"):
        read_manifest(folder)


def test_an_odd_run_is_named_and_left_out_of_the_list(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = write(tmp_path / "good", MANIFEST)
    write(tmp_path / "odd", {**MANIFEST, "created": None})
    write(tmp_path / "store", {"kind": "episodes"})
    write(tmp_path / "other", ["another program's"])
    (tmp_path / "half").mkdir()
    (tmp_path / "half/manifest.json").write_text("{")
    with caplog.at_level(logging.WARNING, "world_models"):
        assert [run.path for run in all_runs(tmp_path)] == [good]
    assert "odd/manifest.json is damaged: created" in caplog.text
    assert "half/manifest.json is damaged" in caplog.text
    assert "store/" not in caplog.text and "other/" not in caplog.text


@pytest.mark.parametrize("key", ["choices", "resumed", "upstream", "threads", "versions", "inputs"])
def test_a_run_goes_on_only_with_all_that_it_must_say(tmp_path: Path, key: str) -> None:
    require_resumable(MANIFEST, tmp_path)
    lacking = {name: value for name, value in MANIFEST.items() if name != key}
    with pytest.raises(ValueError, match=rf"manifest\.json is damaged: {key} is missing"):
        require_resumable(lacking, tmp_path)


def test_the_environment_of_a_run_is_checked_when_it_is_asked_for(tmp_path: Path) -> None:
    run = PastRun(write(tmp_path, MANIFEST))
    with pytest.raises(ValueError, match=r"manifest\.json, env is damaged: kwargs is missing"):
        assert run.env


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("jobs", []),
        ("jobs", [["seed=1"], "seed=2"]),
        ("jobs", [["seed=1"], ["threads=2"]]),
        ("jobs", {"0": ["seed=1"]}),
        ("swept", "seed"),
        ("launcher", None),
        ("began", 3),
        ("schema", 2),
    ],
)
def test_a_job_list_in_which_something_cannot_be_is_refused(
    tmp_path: Path, key: str, value: Any
) -> None:
    sweep = Sweep("2026-01-01", ["python"], ".", [], ["seed"], [["seed=1"], ["seed=2"]])
    write_sweep(tmp_path, sweep)
    assert read_sweep(tmp_path) == sweep
    content = json.loads((tmp_path / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(ValueError, match=r"sweep\.json"):
        read_sweep(tmp_path)


def test_a_note_of_a_failure_is_checked_too(tmp_path: Path) -> None:
    assert failure(tmp_path) == ""
    (tmp_path / "failure.json").write_text('{"why": 3}')
    with pytest.raises(ValueError, match=r"failure\.json is damaged: error is missing"):
        failure(tmp_path)


@pytest.mark.parametrize("change", ["5", "2.5\n3,1.0\n", ""])
def test_a_table_that_changed_since_the_run_ended_is_refused_when_it_goes_on(
    tmp_path: Path, change: str
) -> None:
    manifest = {**MANIFEST, "tables": []}
    run = Run(tmp_path, 0, Device.cpu, Backend.gymnasium, None, manifest=manifest)
    with run.recording():
        run.metrics(None).write("metrics", {"step": 2, "loss": 2.5})
    (tmp_path / "notes.csv").write_text("mine")
    again = Run(tmp_path, 0, Device.cpu, Backend.gymnasium, None, manifest=read_manifest(tmp_path))
    with again.recording():
        pass
    (tmp_path / "notes.csv").write_text("mine, too")
    (tmp_path / "metrics.csv").write_text("step,loss\n2," + change)
    again.manifest = read_manifest(tmp_path)
    changed = r"metrics\.csv is damaged: it has changed"
    with pytest.raises(ValueError, match=changed), again.recording():
        pass
    assert read_manifest(tmp_path)["status"] == "finished"


def test_a_run_that_failed_with_a_long_error_can_go_on(tmp_path: Path) -> None:
    manifest = {**MANIFEST, "status": "running", "tables": []}
    run = Run(tmp_path, 0, Device.cpu, Backend.gymnasium, None, manifest=manifest)
    with pytest.raises(ValueError, match="eee"), run.recording():
        raise ValueError("e" * 100_000)
    assert PastRun(tmp_path).is_one and PastRun(tmp_path).status == "failed"
    require_resumable(read_manifest(tmp_path), tmp_path)
