"""One finished V-M-C pipeline on Pellet, made once through the command line, for all tests."""

import shutil
from pathlib import Path

import pytest
from commands import newest, small_pipeline

from world_models.main import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline on Pellet; for reading only."""
    outputs = tmp_path_factory.mktemp("outputs")
    assert main(small_pipeline(f"outputs={outputs}")) == 0
    return newest(outputs)


@pytest.fixture
def pipeline(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished pipeline that a test may damage."""
    target = tmp_path / "outputs" / Path(*finished.parts[-3:])
    shutil.copytree(finished, target)
    return target
