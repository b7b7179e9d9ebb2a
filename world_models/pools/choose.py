"""Where jobs are done: in this process, in processes of this machine, or on a Ray cluster. The numbers are the same."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from world_models.envs.make import Backend
from world_models.pools.processes import DEADLINE, Handler, Here, Pool, WorkerPool
from world_models.runs.numbers import num_cores


class Workers(Enum):
    """Processes of this machine, or actors of the Ray cluster that RAY_ADDRESS names (unset: one of this machine alone, which ends with the run)."""

    local = "local"
    ray = "ray"


def open_pool(
    where: Workers,
    workers: int,
    build: Callable[..., Handler],
    args: Sequence[Any],
    *,
    most: int | None = None,
    deadline: float = DEADLINE,
) -> Pool:
    """`workers` of them, -1 for one per core of the machine or the cluster, `most` at the highest; 0: this process (local only)."""
    if where is Workers.ray:
        require_ray()
        from world_models.pools.cluster import RayPool, cluster_cores

        count = limited(cluster_cores() if workers == -1 else workers, most)
        return RayPool(max(1, count), build, args, deadline)
    count = limited(num_cores() if workers == -1 else workers, most)
    return WorkerPool(count, build, args, deadline) if count else Here(build, args)


@dataclass(frozen=True)
class Crew:
    """How many workers play, in how many slots each, by how many threads the environments of one are stepped, and where V
    and M run."""

    workers: int
    width: int
    threads: int = 1
    device: str = "cpu"


def choose_crew(device: str, backend: str, where: Workers, workers: int, width: int) -> Crew:
    """`workers` with `width` slots each; but instead of -1, one per core, a GPU has one process that serves all environments,
    where its backend can step them in threads (envpool): its batches are as wide as all of theirs, and V and M are there once.
    Other backends step on one thread of each process, so there each core's process has them. The actors of a Ray
    cluster have a core each and no GPU, whatever the machine has that this runs on."""
    if where is Workers.ray:
        return Crew(workers, width)
    if device == "cuda" and backend == Backend.envpool.value and workers == -1:
        return Crew(1, width * num_cores(), num_cores(), device)
    return Crew(workers, width, device=device)


def limited(count: int, most: int | None) -> int:
    """`count`, but no more than `most`."""
    return count if most is None else min(count, most)


def require_ray() -> None:
    """One sentence where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError(
            'workers=ray needs the extra "cluster": pip install "world-models[cluster]"'
        )
