"""A Ray cluster that loses a machine in the middle of the work: its jobs are done again on what is left."""

import os
import sys
import threading
from pathlib import Path

import pytest
from worker_jobs import build_faulty

from world_models.agents.pools import Workers, open_pool

ray = pytest.importorskip("ray", reason="needs the extra cluster")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_a_lost_node_costs_its_jobs_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quiet = {"include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **quiet})
    node = cluster.add_node(num_cpus=2)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
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
            assert dict(pool.map(["d", "e"])) == {0: "d done", 1: "e done"}, "what is left of it goes on"
    finally:
        ray.shutdown()
        cluster.shutdown()
