"""What takes minutes of sweeps: kills at random moments, of the whole and of one worker."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from commands import small_pipeline
from equality import assert_equal_runs

from world_models.main import main

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "world_models.main", *arguments]


def killed(arguments: list[str], seconds: float) -> bool:
    """Run for so long, then kill -9; whether it was still running."""
    process = subprocess.Popen(
        arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


SWEEP = ["seed=1,2", "stage.mdrnn.hidden_size=8,12", "reuse=true"]


@pytest.fixture(scope="module")
def timed_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A sweep over pipelines that reuse each other's stages, never interrupted,
    and how many seconds it took.
    """
    outputs, began = tmp_path_factory.mktemp("swept"), time.monotonic()
    assert main(["-m", *small_pipeline(f"outputs={outputs}"), *SWEEP]) == 0
    return next(outputs.glob("sweeps/*/*/sweep.json")).parent, time.monotonic() - began


@pytest.fixture(scope="module")
def swept(timed_sweep: tuple[Path, float]) -> Path:
    """The sweep alone."""
    return timed_sweep[0]


def assert_equal_sweeps(left: Path, right: Path, at_once: int = 1) -> None:
    """Of jobs that run at a time, one may begin before the V is finished that it could take."""
    for number in range(4):
        for stage in ("controller", "evaluate"):
            assert_equal_runs(left / f"{number}" / stage, right / f"{number}" / stage)
    assert (left / "sweep_seeds.csv").read_bytes() == (right / "sweep_seeds.csv").read_bytes()
    trained = [path for path in right.glob("*/vae") if not path.is_symlink()]
    assert 2 <= len(trained) < 2 + at_once, "V was trained once per seed"


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_a_sweep_killed_again_and_again_equals_an_uninterrupted_one(
    launcher: list[str], timed_sweep: tuple[Path, float], tmp_path: Path
) -> None:
    """Killed for the first time before two jobs at a time can be through.

    Each time it is given longer: on a busy machine workers take long to start.
    """
    (swept, seconds), moments, kills = timed_sweep, random.Random(len(launcher)), 0
    arguments = command("-m", *small_pipeline(f"outputs={tmp_path}"), *SWEEP, *launcher)
    while killed(arguments, max(5.0, 1.2**kills * seconds * moments.uniform(0.2, 0.5))):
        kills += 1
        notes = list(tmp_path.glob("sweeps/*/*/sweep.json"))
        arguments = command(f"resume={notes[0].parent}") if notes else arguments
    assert kills >= 1
    again = next(tmp_path.glob("sweeps/*/*/sweep.json")).parent
    assert_equal_sweeps(swept, again, at_once=2 if launcher else 1)


def test_a_sweep_outlives_a_worker_that_is_killed(swept: Path, tmp_path: Path) -> None:
    arguments = [
        *small_pipeline(f"outputs={tmp_path}"),
        *SWEEP,
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]
    process = psutil.Popen(
        command("-m", *arguments), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("sweeps/*/*/*/vae/checkpoints/last.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    next(child for child in process.children() if "popen_loky_posix" in child.cmdline()[2]).kill()
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0 and "the unfinished jobs go on one by one" in said, said
    assert_equal_sweeps(swept, next(tmp_path.glob("sweeps/*/*/sweep.json")).parent)
