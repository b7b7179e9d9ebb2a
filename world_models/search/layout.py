"""How the playing of episodes is laid out over workers, threads and devices."""

from dataclasses import dataclass

from world_models.envs.make import Backend
from world_models.runs.device import Workers
from world_models.runs.numbers import num_cores


@dataclass(frozen=True)
class WorkerLayout:
    """How many workers play, and how each of them does."""

    workers: int
    # environments that one steps side by side
    width: int
    # by so many threads
    threads: int = 1
    # where V and M run
    device: str = "cpu"


def layout_for(device: str, backend: str, where: Workers, workers: int, width: int) -> WorkerLayout:
    """Normally `workers` (-1: one per core) of `width` environments each, V and M on `device`.

    A GPU is served best by one process, where the backend has threads to step all environments
    (envpool): its batches are wide, and V and M are there once. Gymnasium and Procgen step on
    one core of a process, so there each core has a process. Actors of a Ray cluster have one
    core each and no GPU, whatever the machine has that the run is started on.
    """
    if where is Workers.ray:
        return WorkerLayout(workers, width)
    if device == "cuda" and backend == Backend.envpool.value and workers == -1:
        return WorkerLayout(1, width * num_cores(), num_cores(), device)
    return WorkerLayout(workers, width, device=device)
