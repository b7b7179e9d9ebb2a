"""How the episodes of a search or an evaluation are spread over workers and their slots."""

from dataclasses import dataclass

from world_models.envs.make import Backend
from world_models.runs.device import Device, Workers
from world_models.runs.numbers import num_cores
from world_models.runs.run import Run


@dataclass(frozen=True)
class WorkerLayout:
    """How many workers play (-1: one per core), and what each of them has."""

    workers: int
    # environments that it steps side by side
    slots: int
    # threads that step them
    threads: int = 1
    # where V and M run
    device: str = "cpu"


def layout_for(run: Run, workers: int, slots: int) -> WorkerLayout:
    """`workers` with `slots` each, but for two cases.

    On a GPU, with a backend that steps environments in threads (envpool), -1 means one process
    that serves all environments: V and M are there once, and batches are as wide as all slots.
    Other backends step on one thread of each process, so that every core's process has V and M.
    The actors of a Ray cluster have a core each and no GPU, whatever this machine has.
    """
    if run.workers is Workers.ray:
        return WorkerLayout(workers, slots)
    in_threads = run.device is Device.cuda and run.backend is Backend.envpool
    if in_threads and workers == -1:
        return WorkerLayout(1, slots * num_cores(), num_cores(), run.device.value)
    return WorkerLayout(workers, slots, device=run.device.value)
