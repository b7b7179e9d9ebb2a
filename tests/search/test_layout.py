"""How episodes are spread over workers and slots."""

from dataclasses import replace
from pathlib import Path

import pytest

from world_models.envs.make import Backend, EnvConfig, make_spec
from world_models.runs.device import Device, Workers
from world_models.runs.run import Run
from world_models.search import layout
from world_models.search.layout import WorkerLayout, layout_for


def test_on_a_gpu_one_process_serves_all_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "num_cores", lambda: 8)
    env = make_spec(EnvConfig(id="WorldModels/Pellet-v0"))
    run = Run(Path("unused"), 0, Device.cuda, Backend.envpool, env)
    assert layout_for(run, -1, 16) == WorkerLayout(1, 128, 8, "cuda")
    for other, workers in (
        (replace(run, device=Device.cpu), -1),
        (replace(run, backend=Backend.gymnasium), -1),
        (replace(run, workers=Workers.ray), -1),
        (run, 3),
    ):
        on_ray = other.workers is Workers.ray
        device = "cpu" if on_ray else other.device.value
        assert layout_for(other, workers, 16) == WorkerLayout(workers, 16, 1, device)
