"""Sweeps: one job list, jobs that fail alone, sweeps that go on where they were cut off,
and the tables at the end.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import small
from equality import assert_equal_runs, fails_at

from world_models.chains.catalogue import schemas
from world_models.cli import launch
from world_models.cli.multirun import expand, launch_jobs
from world_models.config.schema import register
from world_models.main import main
from world_models.runs import numbers
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.numbers import num_cores, num_workers
from world_models.runs.past import PastRun
from world_models.runs.sweeps import Sweep
from world_models.stages import rollout

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def rollouts(outputs: Path, *more: str) -> list[str]:
    """A sweep over quick rollouts."""
    return ["-m", *small("rollout", "stage.episodes=8", f"outputs={outputs}"), *more]


def only_sweep(outputs: Path) -> Path:
    (note,) = outputs.glob("sweeps/*/*/sweep.json")
    return note.parent


def rows(sweep: Path, name: str = "sweep.csv") -> list[dict[str, str]]:
    return list(csv.DictReader((sweep / name).open()))


def shell(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "world_models.main", *arguments]


def killed_when(there: str, outputs: Path, arguments: list[str]) -> Path:
    """Start a sweep in a process of its own and kill -9 it as soon as a file appears in its folder;
    returns the folder.
    """
    process = subprocess.Popen(
        shell(*arguments), env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not list(outputs.glob(f"sweeps/*/*/{there}")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return only_sweep(outputs)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep over two policies and three seeds; for reading only."""
    outputs = tmp_path_factory.mktemp("swept")
    assert main(rollouts(outputs, "stage.policy=random,sticky", "seed=1,2,3")) == 0
    return only_sweep(outputs)


def test_the_job_list_is_written_before_job_0_and_ctrl_c_stops_the_whole_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def interrupted(*_: Any) -> None:
        seen.append(read_json(only_sweep(tmp_path) / "sweep.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "start_in", interrupted)
    assert main(rollouts(tmp_path, "stage.policy=sticky,random", "seed=range(4,6)")) == 130
    assert len(seen) == 1, "job 1 was not begun"
    endings = [job[-2:] for job in seen[0]["jobs"]]
    assert endings == [
        [f"stage.policy={name}", f"seed={seed}"] for name in ("sticky", "random") for seed in (4, 5)
    ]
    assert all("stage=rollout" in job and "stage.episodes=8" in job for job in seen[0]["jobs"])
    assert (
        seen[0]["command"][0] == "-m"
        and seen[0]["began"]
        and seen[0]["swept"] == ["stage.policy", "seed"]
    )
    assert (
        f"resume={os.path.relpath(only_sweep(tmp_path))}" in caplog.text
        or str(only_sweep(tmp_path)) in caplog.text
    )


def test_a_failed_job_stops_no_other_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rollout, "write_shard", raises_at({2, 3, 4}, rollout.write_shard))
        assert main(rollouts(tmp_path, "stage.policy=brownian,random,sticky")) == 1
    sweep = only_sweep(tmp_path)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: 2 of 3 jobs failed") and sweep.name in error
    assert [row["status"] for row in rows(sweep)] == ["failed", "failed", "finished"]
    assert (
        "needs Box actions" in rows(sweep)[0]["error"]
        and "KeyError: 'a worker met a bug'" in rows(sweep)[1]["error"]
    )
    assert main([f"resume={sweep}"]) == 1
    assert [row["status"] for row in rows(sweep)] == ["failed", "finished", "finished"]
    assert len(read_json(sweep / "1/manifest.json")["resumed"]) == 1
    assert main(rollouts(tmp_path / "whole", "stage.policy=random,sticky")) == 0
    assert_equal_runs(only_sweep(tmp_path / "whole") / "0", sweep / "1")


def raises_at(bad: set[int], function: Any) -> Any:
    """The same function, but some of its calls, counted from 1, are a bug."""
    calls = iter(range(1, 10_000))

    def broken(*args: Any, **kwargs: Any) -> Any:
        if next(calls) in bad:
            raise KeyError("a worker met a bug")
        return function(*args, **kwargs)

    return broken


def test_the_table_says_what_each_job_came_to(swept: Path) -> None:
    table = rows(swept)
    columns = [
        "job",
        "stage.policy",
        "seed",
        "status",
        "metric",
        "best",
        "minutes",
        "folder",
        "error",
    ]
    assert list(table[0]) == columns and len(table) == 6
    for number, row in enumerate(table):
        returns = [
            float(episode["return"]) for episode in read_csv(swept / row["folder"] / "episodes.csv")
        ]
        assert float(row["best"]) == pytest.approx(np.mean(returns)) and len(returns) == 8
        assert (row["job"], row["metric"], row["status"], row["error"]) == (
            f"{number}",
            "mean return",
            "finished",
            "",
        )
        manifest = read_json(swept / f"{number}/manifest.json")
        assert float(row["minutes"]) == pytest.approx(manifest["wall_seconds"] / 60, abs=0.005)
        assert int(row["seed"]) == manifest["seed"]
    assert [row["stage.policy"] for row in table] == ["random"] * 3 + ["sticky"] * 3


def test_seeds_are_taken_together(swept: Path) -> None:
    table = rows(swept)
    for group, policy in zip(rows(swept, "sweep_seeds.csv"), ("random", "sticky"), strict=True):
        best = [float(row["best"]) for row in table if row["stage.policy"] == policy]
        assert (group["stage.policy"], group["metric"], group["n"]) == (policy, "mean return", "3")
        found = [float(group[name]) for name in ("mean", "std", "low", "high")]
        deviation = np.std(best, ddof=1)
        half = 4.302653 * deviation / np.sqrt(3)
        mean = np.mean(best)
        assert found == pytest.approx([mean, deviation, mean - half, mean + half])
        assert group["interval"] == "95 %"


def test_a_finished_sweep_is_not_run_again_and_its_tables_are_printed(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "outputs/sweeps/day/time"
    shutil.copytree(swept, sweep)
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("*.npy")}
    assert before and main([f"resume={sweep}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in sweep.rglob("*.npy")} == before
    text = capsys.readouterr().out
    assert text.count(" finished ") == 6 and "95 % interval" in text and "stage.policy" in text
    assert main(["stage=runs", f"outputs={tmp_path / 'outputs'}"]) == 0
    text = capsys.readouterr().out
    assert all(f"sweeps/day/time/{number} " in text for number in range(6))


@pytest.fixture(scope="module")
def whole(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over seeds of M that was never interrupted."""
    outputs = tmp_path_factory.mktemp("whole")
    assert main(mdrnn(finished, outputs)) == 0
    return only_sweep(outputs)


def mdrnn(finished: Path, outputs: Path, *more: str) -> list[str]:
    upstream = f"upstream={finished / 'vae'}"
    return ["-m", *small("mdrnn", upstream, f"outputs={outputs}", "seed=1,2,3", *more)]


@pytest.mark.slow
def test_kill_9_then_resume_equals_an_uninterrupted_sweep(
    finished: Path, whole: Path, tmp_path: Path
) -> None:
    sweep = killed_when("1/checkpoints/last.pt", tmp_path, mdrnn(finished, tmp_path))
    assert [PastRun(sweep / name).status for name in "01"] == ["finished", "interrupted"] and not (
        sweep / "2"
    ).exists()
    assert len(read_json(sweep / "sweep.json")["jobs"]) == 3
    before = (sweep / "0/manifest.json").stat().st_mtime_ns
    assert main([f"resume={sweep}"]) == 0
    for name in "012":
        assert_equal_runs(whole / name, sweep / name)
    assert (sweep / "0/manifest.json").stat().st_mtime_ns == before
    assert [len(read_json(sweep / name / "manifest.json")["resumed"]) for name in "012"] == [
        0,
        1,
        0,
    ]
    kept = ("job", "seed", "status", "metric", "best", "error")
    assert [[row[key] for key in kept] for row in rows(sweep)] == [
        [row[key] for key in kept] for row in rows(whole)
    ]
    assert (sweep / "sweep_seeds.csv").read_bytes() == (whole / "sweep_seeds.csv").read_bytes()


@pytest.mark.slow
def test_relative_paths_mean_what_they_meant_where_the_sweep_was_begun(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(finished, tmp_path / "here/finished")
    monkeypatch.setattr(launch, "execute", fails_at(1, lambda *rest: None))
    monkeypatch.chdir(tmp_path / "here")
    assert main(mdrnn(Path("finished"), Path("outputs"))) == 130
    monkeypatch.chdir(tmp_path / "elsewhere")
    sweep = only_sweep(tmp_path / "here/outputs")
    assert not (sweep / "1").exists()
    main([f"resume={sweep}"])
    upstream = read_json(sweep / "2/manifest.json")["upstream"]
    assert (sweep / "2" / upstream).resolve() == tmp_path / "here/finished/vae"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_jobs_side_by_side_killed_with_their_master_go_on_and_equal_jobs_in_turn(
    swept: Path, tmp_path: Path
) -> None:
    """Through joblib, each with a worker process of its own;
    a job fails at its start and stops none.
    """
    arguments = rollouts(
        tmp_path, "stage.policy=brownian,random,sticky", "seed=2", "stage.workers=1", *JOBLIB
    )
    sweep = killed_when("*/episodes/shard_00000.json", tmp_path, arguments)
    assert read_json(sweep / "sweep.json")["launcher"] == JOBLIB
    done = subprocess.run(
        shell(f"resume={sweep}"), env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and "error: 1 of 3 jobs failed" in done.stderr, done.stderr
    assert [row["status"] for row in rows(sweep)] == ["failed", "finished", "finished"]
    for ours, theirs in (("1", "1"), ("2", "4")):
        assert "INFO" in (sweep / ours / "log.txt").read_text()
        assert_equal_runs(swept / theirs, sweep / ours)


@pytest.mark.slow
def test_jobs_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of each is fixed in the job list, where `threads` is not given."""
    monkeypatch.setattr("world_models.cli.multirun.all_cores", lambda: 8)
    register(schemas())
    sweep = ["stage=rollout", "env=pellet", "seed=range(5)", JOBLIB[0]]
    for more, share in (
        ([JOBLIB[1]], "4"),
        (["hydra.launcher.n_jobs=-1"], "1"),
        (["hydra.launcher.n_jobs=3"], "2"),
    ):
        assert [job[-2:] for job in expand([*sweep, *more]).jobs] == [
            [f"seed={n}", f"threads={share}"] for n in range(5)
        ]
    assert all(
        "threads=3" in job and len(job) == 4
        for job in expand([*sweep, JOBLIB[1], "threads=3"]).jobs
    )
    assert all(job[-1] == "threads=8" for job in expand(sweep[:-1]).jobs), (
        "one after the other, each has them all"
    )


def test_workers_of_jobs_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = num_cores()
    monkeypatch.setattr(numbers, "_sharers", 1)
    numbers.share_cores(2)
    assert num_cores() == max(1, cores // 2) and num_workers(-1) == num_cores()


def test_the_launcher_can_be_given_anew(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(
        "world_models.cli.sweep._work_off", lambda folder, launcher: given.append(launcher)
    )
    note = read_json(swept / "sweep.json")
    (tmp_path / "sweep.json").write_text(json.dumps({**note, "launcher": JOBLIB}))
    for more in ([], ["hydra.launcher.n_jobs=3"], ["hydra/launcher=basic"]):
        assert main([f"resume={tmp_path}", *more]) == 0
    assert given == [JOBLIB, [JOBLIB[0], "hydra.launcher.n_jobs=3"], ["hydra/launcher=basic"]]


@pytest.mark.slow
def test_a_killed_process_is_known_and_the_jobs_beside_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process breaks joblib's pool; job 1 is killed each time."""

    def breaks(folder: Path, plan: Sweep, launcher: list[str], chosen: list[int]) -> None:
        if 1 not in chosen:
            launch_jobs(folder, plan, launcher, chosen)
            return
        if chosen[0] == 0:
            launch_jobs(folder, plan, launcher, [0])
        raise BrokenProcessPool

    monkeypatch.setattr("world_models.cli.sweep.launch_jobs", breaks)
    assert main(rollouts(tmp_path, "seed=1,2,3")) == 1
    table = rows(only_sweep(tmp_path))
    assert [row["status"] for row in table] == ["finished", "failed", "finished"]
    assert table[1]["error"] == "its process was killed; look for memory"


@pytest.mark.slow
def test_mistakes_of_all_jobs_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        (["stage.episodes=4,many"], "stage.episodes: "),
        (["stage.episodes=0,-1"], "stage.episodes is 0; it must be above 0"),
        (["seed=interval(1,2)"], "does not support sweep type"),
        (["stage=runs"], "stage=runs only looks at what is there"),
        (["hydra/launcher=submitit"], "hydra/launcher=submitit is not installed; there are: basic"),
        (["hydra.launcher.n_jobs=2"], "hydra.launcher.n_jobs is no key"),
        ([*JOBLIB[:1], "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs is 0"),
        (["--cfg", "job"], "--cfg and -m do not go together"),
        (["resume=x"], "resume=x and -m do not go together"),
        (["reuse=true"], "reuse=true is of no use: stage=rollout"),
    ]
    for more, sentence in cases:
        assert (
            main(
                [
                    item
                    for item in rollouts(tmp_path / "outputs", *more)
                    if "stage=runs" not in more or "stage." not in item
                ]
            )
            == 1
        )
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1, (more, error)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_launcher_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loader = "hydra._internal.config_loader_impl.ConfigLoaderImpl.get_group_options"
    monkeypatch.setattr(loader, lambda *rest: ["basic"])
    assert main(rollouts(tmp_path, *JOBLIB)) == 1
    assert (
        'joblib is not installed: it comes with the extra "sweeps": pip install'
        in capsys.readouterr().err
    )


def test_what_a_resumed_sweep_does_not_take(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"resume={swept}", "stage.episodes=9"]) == 1
    assert "stage.episodes=9 cannot be given to a sweep" in capsys.readouterr().err
    (tmp_path / "sweep.json").write_text(
        json.dumps({"began": "2026-11-20T14:03:22", "command": []})
    )
    assert main([f"resume={tmp_path}"]) == 1
    assert "holds no job list" in capsys.readouterr().err


@pytest.mark.slow
def test_several_upstreams_can_be_swept(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of an earlier sweep are upstreams by their folders; a comma in -m parts them."""
    monkeypatch.setattr(launch, "execute", lambda *rest: None)
    for name in ("a b", "c"):
        shutil.copytree(finished, tmp_path / name)
    arguments = small(
        "mdrnn", f"outputs={tmp_path / 'o'}", f"upstream={tmp_path / 'a b'},{tmp_path / 'c'}"
    )
    assert main(["-m", *arguments]) == 1
    sweep = only_sweep(tmp_path / "o")
    upstreams = [
        (sweep / n / read_json(sweep / n / "manifest.json")["upstream"]).resolve() for n in "01"
    ]
    assert upstreams == [tmp_path / "a b/vae", tmp_path / "c/vae"]
    assert [row["upstream"] for row in rows(sweep)] == [str(tmp_path / "a b"), str(tmp_path / "c")]
    assert [row["status"] for row in rows(sweep)] == ["interrupted"] * 2


def test_an_endless_range_is_refused_before_it_is_listed() -> None:
    register(schemas())
    with pytest.raises(ValueError, match=r"jobs: 10000 is the most, so sweep less"):
        expand(["stage=rollout", "env=pellet", "seed=range(0,1000000000000)"])


def test_a_job_that_is_there_twice_is_no_second_seed() -> None:
    register(schemas())
    with pytest.raises(ValueError, match="jobs 1 and 2 of the sweep are the same: type each"):
        expand(["stage=rollout", "env=pellet", "seed=2,1,1"])
