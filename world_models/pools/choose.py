"""Where jobs are done: here, in processes, or on a Ray cluster. The numbers are the same."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from world_models.pools.pool import DEADLINE, Handler, InProcessPool, Pool
from world_models.pools.processes import WorkerPool
from world_models.runs.device import Workers
from world_models.runs.numbers import most_processes, num_cores


def open_pool(
    where: Workers,
    workers: int,
    build: Callable[..., Handler],
    args: Sequence[Any],
    *,
    most: int | None = None,
    deadline: float = DEADLINE,
) -> Pool:
    """A pool of so many `workers`, `most` at the highest.

    -1: one per core of the machine or the cluster. 0: this process (on a cluster, one worker).
    """
    if where is Workers.ray:
        require_ray()
        from world_models.pools.cluster import RayPool, cluster_cores

        count = limited(cluster_cores() if workers == -1 else workers, most)
        return RayPool(max(1, count), build, args, deadline)
    count = limited(num_cores() if workers == -1 else workers, most)
    if count > most_processes():
        raise ValueError(
            f"{count} workers asked for: this machine bears {most_processes()} at most, so set "
            "stage.workers (of the controller: stage.max_workers) lower"
        )
    return WorkerPool(count, build, args, deadline) if count else InProcessPool(build, args)


def limited(count: int, most: int | None) -> int:
    """`count`, but no more than `most`."""
    return count if most is None else min(count, most)


def require_ray() -> None:
    """One sentence where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError(
            'workers=ray needs the extra "cluster": pip install "world-models[cluster]"'
        )
