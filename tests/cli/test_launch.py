"""What is said before a run begins."""

import logging

import pytest

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
