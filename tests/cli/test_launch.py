"""What is said before a run begins."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from world_models.chains import catalogue
from world_models.cli import launch


@pytest.mark.parametrize(
    ("cores", "load", "said"), [(2, 1.8, True), (2, 0.4, False), (1, 3.0, False), (16, 3.0, False)]
)
def test_a_busy_machine_is_told_of_threads(
    cores: int,
    load: float,
    said: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(launch, "num_cores", lambda: cores)
    with caplog.at_level(logging.INFO):
        launch.say_if_busy(load)
    assert ("threads=1 may be several times as fast" in caplog.text) == said


@pytest.mark.parametrize("stage", ["play", "export"])
def test_what_computes_with_one_thread_is_not_told_of_threads(
    stage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launch, "num_cores", lambda: 2)
    monkeypatch.setattr(launch.os, "getloadavg", lambda: (1.9, 0, 0))
    env: Any = SimpleNamespace(backend=None)
    config: Any = SimpleNamespace(
        threads=None, seed=0, device=None, env=env, agent=None, workers=None
    )
    with caplog.at_level(logging.INFO):
        launch.open_run(catalogue.row(stage), config, Path(), env, None)
    assert "threads" not in caplog.text
