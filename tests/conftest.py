"""One finished V-M-C pipeline on Pellet, made once through the command line, for all tests."""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from commands import newest, recorded_bars, small, small_pipeline
from strangers import Stranger
from xdist.scheduler import LoadScopeScheduling

from world_models.envs import trust
from world_models.main import main
from world_models.runs.numbers import num_cores
from world_models.runs.threads import use_threads
from world_models.stages.rem import films

use_threads(1)  # for files of tests run side by side


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: tests wait for the processes that they start."""
    return num_cores() + 1


COUNTING = "tests/test_slow.py"
"""A file whose last test counts what the others did: one process runs them all."""


class OneByOne(LoadScopeScheduling):
    """Each test by itself to whoever is free, those of COUNTING to one.

    As `loadgroup` is meant, which groups nothing under pytest 9.2 (xdist 3.8).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file == COUNTING else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneByOne | None:
    """For --dist loadgroup."""
    return OneByOne(config, log) if config.getvalue("dist") == "loadgroup" else None


# tests type Ctrl-C, which a shell lets its commands in the background ignore
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_of_another_test() -> Iterator[None]:
    """A run sets the threads; jobs of a sweep log to the stderr of their time,
    which pytest closes after each test.
    """
    yield
    use_threads(1)
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def no_power_is_cut() -> Iterator[None]:
    """So nothing has to reach the disk at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def short_films() -> Iterator[None]:
    """What a world of tokens imagines is filmed for a tenth of the steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(films, "MOST_STEPS", films.MOST_STEPS // 10)
        yield


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """Somebody's module that can be imported, and that nobody trusts yet."""
    monkeypatch.setattr(trust, "_trusted", set())
    found = Stranger(tmp_path / "strangers")
    found.write()
    monkeypatch.syspath_prepend(found.folder)
    yield found
    sys.modules.pop(found.module, None)
    gymnasium.registry.pop("Stranger-v0", None)


@pytest.fixture(scope="session")
def bars() -> list[str]:
    """The labels of all progress bars that `finished` opened while it was made."""
    return []


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, bars: list[str]) -> Path:
    """A finished pipeline on Pellet; for reading only."""
    outputs = tmp_path_factory.mktemp("outputs")
    with recorded_bars(bars):
        assert main(small_pipeline(f"outputs={outputs}")) == 0
    return newest(outputs)


@pytest.fixture(scope="session")
def patch_run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage=tokenizer, a book of patches; for reading only."""
    outputs = tmp_path_factory.mktemp("patch")
    keys = ["stage.kind=patch", "stage.patch_size=16", "stage.threshold=6", "stage.vocabulary=64"]
    begin = small("tokenizer", f"upstream={finished / 'rollout'}", f"outputs={outputs}")
    assert main([*(key for key in begin if "vocabulary" not in key), *keys]) == 0
    return newest(outputs)


@pytest.fixture(scope="session")
def token_world_run(patch_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage=token_world on these patches; for reading only."""
    outputs = tmp_path_factory.mktemp("token_world")
    assert main(small("token_world", f"upstream={patch_run}", f"outputs={outputs}")) == 0
    return newest(outputs)


@pytest.fixture
def pipeline(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished pipeline that a test may damage."""
    target = tmp_path / "outputs" / Path(*finished.parts[-3:])
    shutil.copytree(finished, target)
    return target
