"""What takes minutes: kills at random moments, and the report in a browser."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from commands import STAGES, newest, small, small_pipeline
from equality import assert_equal_runs
from stages.test_resume import upstream_of

from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.folder import is_live

# its kills are counted: conftest.py keeps its tests in one process
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
KILLED: dict[str, tuple[int, int]] = {}
"""For each stage: kills, and kills that left a half-written file behind."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "world_models.main", *arguments]


KILLS_PER_STAGE = 7
AIMED = {
    "rollout": "episodes/.*.tmp",
    "vae": "checkpoints/.*.tmp",
    "mdrnn": "checkpoints/.*.tmp",
    "controller": "checkpoints/.*.tmp",
    "pixel": "checkpoints/.*.tmp",
    "autoencoder": "checkpoints/.*.tmp",
    "tokenizer": "checkpoints/.*.tmp",
    "token_world": "checkpoints/.*.tmp",
    "actor_critic": "checkpoints/.*.tmp",
    "rem": "checkpoints/.*.tmp",
}
ALONE = ["pixel", "autoencoder", "tokenizer", "token_world", "actor_critic", "rem"]
"""Stages that are no part of the pipeline."""
TOKENS = {"token_world": "patch_run", "actor_critic": "token_world_run"}
"""What is made for stages that go on from runs on tokens."""


class Killer:
    """Runs a command again and again, killing it -9 at random moments of its work,
    until it comes to its end.
    """

    def __init__(self, outputs: Path, begin: list[str], seconds: float, seed: str) -> None:
        self.outputs, self.begin, self.seconds = outputs, begin, seconds
        self.moments, self.kills, self.writes = random.Random(seed), 0, 0

    @property
    def run(self) -> Path | None:
        """The run folder, once there is one."""
        runs = sorted(self.outputs.glob("*/*/*/manifest.json"))
        return runs[0].parent if runs else None

    def finish(self) -> None:
        """Go on to the end without a kill."""
        arguments = command(f"resume={self.run}") if self.run else self.begin
        subprocess.run(arguments, env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)

    def kill(self, pattern: str = "") -> bool:
        """Start or resume and kill: where a file matching `pattern` appears, else after a random
        time of work.

        False when the command came to its end first.
        """
        arguments = command(f"resume={self.run}") if self.run else self.begin
        process = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        self._until(process, lambda: self.run is not None and is_live(self.run))
        if pattern:
            self._until(process, lambda: any(self.run.glob(pattern)))
        else:
            deadline = time.monotonic() + self.moments.uniform(0.0, self.seconds)
            self._until(process, lambda: time.monotonic() > deadline)
        alive = process.poll() is None
        process.kill()
        process.wait()
        assert alive or process.returncode == 0, f"the command failed by itself: {arguments}"
        self.kills += alive
        self.writes += alive and bool(pattern) and any(self.run.glob(pattern))
        return alive

    def _until(self, process: "subprocess.Popen[bytes]", happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while process.poll() is None and not happened():
            assert time.monotonic() < deadline
            time.sleep(0.0005)


def begun_at(stage: str, request: pytest.FixtureRequest) -> list[str]:
    """Where a stage begins; `rem` begins at nothing."""
    if stage in TOKENS:
        return [f"upstream={request.getfixturevalue(TOKENS[stage])}"]
    finished = request.getfixturevalue("finished")
    return [] if stage == "rem" else upstream_of(stage, finished)


@pytest.mark.parametrize("stage", [*STAGES, *ALONE])
def test_kills_at_random_moments_change_nothing(
    stage: str, finished: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole, upstream = finished / stage, begun_at(stage, request)
    if stage in ALONE:
        assert main(small(stage, *upstream, f"outputs={tmp_path / 'whole'}")) == 0
        whole = newest(tmp_path / "whole")
    seconds = read_json(whole / "manifest.json")["wall_seconds"]
    killers: list[Killer] = []
    while sum(killer.kills for killer in killers) < KILLS_PER_STAGE:
        outputs = tmp_path / str(len(killers))
        killer = Killer(
            outputs,
            command(*small(stage, *upstream, f"outputs={outputs}")),
            seconds,
            f"{stage} {len(killers)}",
        )
        killers.append(killer)
        while killer.kill(AIMED.get(stage, "") if killer.kills % 3 == 1 else ""):
            if sum(item.kills for item in killers) >= KILLS_PER_STAGE:
                killer.finish()
                break
    for killer in killers:
        assert read_json(killer.run / "manifest.json")["status"] == "finished"
        assert_equal_runs(whole, killer.run)
        assert not list(killer.run.rglob(".*.tmp")), "what a kill left half written is cleared away"
    KILLED[stage] = (
        sum(killer.kills for killer in killers),
        sum(killer.writes for killer in killers),
    )


def test_a_pipeline_killed_again_and_again_comes_to_the_same_scores(
    finished: Path, tmp_path: Path
) -> None:
    seconds = read_json(finished / "manifest.json")["wall_seconds"]
    killer = Killer(
        tmp_path, command(*small_pipeline(f"outputs={tmp_path}")), seconds / 2, "pipeline"
    )
    while killer.kills < KILLS_PER_STAGE and killer.kill():
        pass
    killer.finish()
    for stage in STAGES:
        assert_equal_runs(finished / stage, killer.run / stage)
    KILLED["pipeline"] = (killer.kills, 0)


def test_the_kills_were_many_and_some_met_a_half_written_file(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    killing = (
        test_kills_at_random_moments_change_nothing,
        test_a_pipeline_killed_again_and_again_comes_to_the_same_scores,
    )
    here = [item for item in request.session.items if item.path == Path(__file__)]
    chosen = sum(item.function in killing for item in here)
    all_of_them = {*STAGES, *ALONE, "pipeline"}
    if chosen < len(all_of_them):
        pytest.skip("not all of the tests above were chosen")
    assert set(KILLED) == all_of_them, "one of the tests above failed, or ran elsewhere"
    total, writes = (sum(counts[i] for counts in KILLED.values()) for i in (0, 1))
    with capsys.disabled():
        sys.stdout.write(
            f"\nkill -9, resumed to equal results: {total} of {total}, {writes} in the middle of a "
            f"write\n"
        )
    assert total >= 60 and writes >= 4


WORKER_KILLS = 100
FEWEST_KILLS = 40
"""A search may be through sooner: how fast it is beside a worker's start differs by machine."""


def workers_of(pid: int) -> list[psutil.Process]:
    """The living workers of a run."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def seconds_to_start() -> float:
    """What a worker needs, about: where all are killed sooner, again and again,
    the run ends and says so.
    """
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "import world_models.search.fitness"], env=ENVIRONMENT, check=True
    )
    return time.monotonic() - began


def test_many_killed_workers_change_no_fitness_and_leave_none_behind(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def arguments(name: str) -> list[str]:
        keys = [
            "stage.generations=220",
            "stage.n_samples=16",
            "stage.test_interval=50",
            "stage.max_workers=2",
        ]
        return command(
            *small(
                "controller", f"upstream={finished / 'mdrnn'}", *keys, f"outputs={tmp_path / name}"
            )
        )

    subprocess.run(arguments("undisturbed"), env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
    start = seconds_to_start()
    process = subprocess.Popen(arguments("killed"), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    moments, kills, seen = random.Random(0), 0, set()
    while kills < WORKER_KILLS and process.poll() is None:
        time.sleep(start * moments.uniform(0.1, 1.3))
        workers = workers_of(process.pid)
        seen.update(worker.pid for worker in workers)
        if workers:
            moments.choice(workers).kill()
            kills += 1
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            seen.update(worker.pid for worker in workers_of(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0 and kills >= FEWEST_KILLS, kills
    undisturbed, killed = (
        next(iter((tmp_path / name).glob("*/*/*"))) for name in ("undisturbed", "killed")
    )
    assert_equal_runs(undisturbed, killed)
    assert not (killed / "quarantine.csv").exists()
    assert not any(psutil.pid_exists(pid) for pid in seen)
    again = (killed / "log.txt").read_text().count("it is done again")
    with capsys.disabled():
        sys.stdout.write(
            f"\nworkers killed -9 during a search: {kills}, jobs done again: {again}, equal "
            f"fitness\n"
        )


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_the_report_shows_in_a_browser(finished: Path, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    flags += [
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tempfile.mkdtemp(dir=tmp_path)}",
    ]
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
