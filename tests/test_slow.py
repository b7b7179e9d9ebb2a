"""What takes minutes: kills at random moments, and the report in a browser."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from commands import STAGES, newest, small, small_pipeline
from stages.test_resume import assert_equal_runs, upstream_of

from world_models.runs.files import read_json

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "world_models.main", *arguments]


def killed(arguments: list[str], seconds: float) -> bool:
    """Run for so long, then kill -9; whether it was still running."""
    process = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


@pytest.mark.parametrize("stage", STAGES)
def test_kills_at_random_moments_change_nothing(stage: str, finished: Path, tmp_path: Path) -> None:
    moments = random.Random(stage)
    kills, arguments = 0, command(*small(stage, *upstream_of(stage, finished), f"outputs={tmp_path}"))
    while killed(arguments, moments.uniform(2.0, 6.0)):
        kills += 1
        runs = list(tmp_path.glob("*/*/*/manifest.json"))
        arguments = command(f"resume={runs[0].parent}") if runs else arguments
    run = newest(tmp_path)
    assert read_json(run / "manifest.json")["status"] == "finished"
    assert_equal_runs(finished / stage, run)


def test_a_pipeline_killed_again_and_again_comes_to_the_same_scores(finished: Path, tmp_path: Path) -> None:
    moments, kills = random.Random(0), 0
    arguments = command(*small_pipeline(f"outputs={tmp_path}"))
    while killed(arguments, moments.uniform(3.0, 5.5)):
        kills += 1
        runs = list(tmp_path.glob("*/*/*/manifest.json"))
        arguments = command(f"resume={runs[0].parent}") if runs else arguments
    assert kills >= 1
    for stage in STAGES:
        assert_equal_runs(finished / stage, newest(tmp_path) / stage)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_the_report_shows_in_a_browser(finished: Path, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tempfile.mkdtemp(dir=tmp_path)}"]
    shown = [
        "chromium",
        *flags,
        f"--screenshot={picture}",
        "--window-size=1100,3000",
        f"file://{finished / 'report.html'}",
    ]
    subprocess.run(shown, check=True, capture_output=True, timeout=120)
    deadline = time.monotonic() + 10
    while not picture.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert picture.stat().st_size > 50_000, "more than an empty page"
