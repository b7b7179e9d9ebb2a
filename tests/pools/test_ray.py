"""The same jobs on a Ray cluster, which the tests begin on this machine: the same numbers,
whoever is lost.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import newest, small
from worker_jobs import build_faulty, build_pid, build_thread_counter

from world_models.main import main
from world_models.pools.choose import open_pool
from world_models.pools.pool import Failure, WorkerError
from world_models.runs.device import Workers
from world_models.runs.files import read_json

ray = pytest.importorskip("ray", reason="needs the extra cluster")
ray_pool = pytest.importorskip("world_models.pools.cluster")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster of two cores on this machine."""
    environment = {
        "env_vars": {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    }
    quiet = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
    ray.init(num_cpus=2, runtime_env=environment, **quiet)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_jobs_are_done_redone_and_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = ["a", "die", "raise", "stumble", "b"]
    with open_pool(Workers.ray, -1, build_faulty, [tmp_path]) as pool:
        assert pool.size == 2
        outcomes = dict(pool.attempt(jobs))
    assert isinstance(outcomes[2], Failure) and "the moon is in the way" in outcomes[2].cause
    assert [outcomes[index] for index in (0, 1, 3, 4)] == [
        "a done",
        "die done",
        "stumble done",
        "b done",
    ]
    assert "job 2 of 5: a worker was lost" in caplog.text


@pytest.mark.slow
def test_a_silent_actor_is_replaced_and_a_slow_one_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pool(Workers.ray, 2, build_faulty, [tmp_path], deadline=10.0) as pool:
        assert dict(pool.map(["hang", "slow"])) == {0: "hang done", 1: "slow done"}
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("job 1 of 2: a worker gave no sign of life for 10 seconds")


@pytest.mark.slow
def test_actors_compute_in_one_thread_and_may_die_while_idle() -> None:
    with open_pool(Workers.ray, 2, build_thread_counter, []) as pool:
        assert dict(pool.map([None] * 3)) == {0: 1, 1: 1, 2: 1}
    with open_pool(Workers.ray, 1, build_pid, []) as pool:
        (first,) = dict(pool.map([None])).values()
        os.kill(first, signal.SIGKILL)
        (second,) = dict(pool.map([None])).values()
        assert second != first


@pytest.mark.slow
def test_a_worker_without_a_core_waits_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = ["slow", "slow ", "a", "b"]
    with open_pool(Workers.ray, 3, build_faulty, [tmp_path], deadline=10.0) as pool:
        assert dict(pool.map(jobs)) == {index: f"{job} done" for index, job in enumerate(jobs)}
    assert not caplog.records


@pytest.mark.slow
def test_a_cluster_without_a_free_core_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "DEADLINE", 1.0)
    with open_pool(Workers.ray, 2, build_thread_counter, []) as pool:
        while not pool.warm:  # both cores are taken
            list(pool.map([None] * 4))
        with (
            open_pool(Workers.ray, 1, build_faulty, [tmp_path], deadline=1.0) as late,
            pytest.raises(WorkerError, match="no core of the Ray cluster was free for 1 seconds"),
        ):
            list(late.map(["a"]))


@pytest.mark.slow
def test_collection_and_search_come_to_the_numbers_of_local_workers(
    finished: Path, tmp_path: Path
) -> None:
    keys = ["workers=ray", f"outputs={tmp_path}"]
    assert main(small("rollout", *keys, "stage.workers=2")) == 0
    ours, local = (
        read_json(run / "episodes/manifest.json")
        for run in (newest(tmp_path), finished / "rollout")
    )
    assert ours["shards"] == local["shards"] and ours["episodes"] == local["episodes"]
    assert (
        main(small("controller", *keys, f"upstream={finished / 'mdrnn'}", "stage.max_workers=2"))
        == 0
    )
    for name in ("metrics.csv", "selection.csv"):
        assert (newest(tmp_path) / name).read_bytes() == (
            finished / "controller" / name
        ).read_bytes()
