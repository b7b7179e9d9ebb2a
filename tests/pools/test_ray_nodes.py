"""Ray clusters as users have them: begun by the command itself, named by RAY_ADDRESS, and losing a
machine in the middle of the work.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import newest, small
from worker_jobs import build_faulty

from world_models.pools.choose import open_pool
from world_models.runs.device import Workers

ray = pytest.importorskip("ray", reason="needs the extra cluster")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_a_lost_node_costs_its_jobs_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quiet = {"include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **quiet})
    node = cluster.add_node(num_cpus=2)
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    ray.init(cluster.address, runtime_env={"env_vars": {"PYTHONPATH": path}}, log_to_driver=False)
    try:
        jobs = ["slow", "slow ", " slow", "a", "b", "c"]
        with open_pool(Workers.ray, 3, build_faulty, [tmp_path]) as pool:
            list(pool.map(["warm", "up", "all"]))
            lose = threading.Timer(5.0, cluster.remove_node, [node], {"allow_graceful": False})
            lose.start()
            assert dict(pool.map(jobs)) == {index: f"{job} done" for index, job in enumerate(jobs)}
            lose.join()
            assert pool.setbacks == 2 and caplog.text.count("a worker was lost") == 2
            assert dict(pool.map(["d", "e"])) == {0: "d done", 1: "e done"}, (
                "what is left of it goes on"
            )
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.parametrize("named", [False, True])
def test_the_command_begins_a_cluster_or_joins_the_one_that_is_named(
    finished: Path, tmp_path: Path, named: bool
) -> None:
    """From another folder, with nothing but the installed package."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("RAY_ADDRESS", "PYTHONPATH")
    }
    cluster = None
    if named:
        cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
        )
        environment["RAY_ADDRESS"] = cluster.address
    keys = [
        f"upstream={finished / 'mdrnn'}",
        f"outputs={tmp_path / 'outputs'}",
        "workers=ray",
        "stage.max_workers=2",
    ]
    command = [sys.executable, "-m", "world_models.main", *small("controller", *keys)]
    try:
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
    finally:
        if cluster is not None:
            cluster.shutdown()
    assert done.returncode == 0, done.stderr
    for name in ("metrics.csv", "selection.csv"):
        assert (newest(tmp_path / "outputs") / name).read_bytes() == (
            finished / "controller" / name
        ).read_bytes()
