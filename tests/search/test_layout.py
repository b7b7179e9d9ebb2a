"""How playing is laid out over workers, on each kind of device, backend and pool."""

import pytest

from world_models.runs.device import Workers
from world_models.search import layout
from world_models.search.layout import WorkerLayout, layout_for


def test_on_a_gpu_one_process_serves_all_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "num_cores", lambda: 8)
    assert layout_for("cuda", "envpool", Workers.local, -1, 16) == WorkerLayout(1, 128, 8, "cuda")
    for device, backend, where, workers in (
        ("cpu", "envpool", Workers.local, -1),
        ("cuda", "gymnasium", Workers.local, -1),
        ("cuda", "envpool", Workers.ray, -1),
        ("cuda", "envpool", Workers.local, 3),
    ):
        expected = WorkerLayout(workers, 16, 1, "cpu" if where is Workers.ray else device)
        assert layout_for(device, backend, where, workers, 16) == expected
