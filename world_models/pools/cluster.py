"""Workers that are actors of a Ray cluster, each on one core of some node."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from world_models.envs.trust import trust, trusted
from world_models.pools.pool import (
    DEADLINE,
    Failure,
    Handler,
    WorkerError,
    heartbeat,
    heartbeat_count,
    raised,
)
from world_models.pools.supervision import SupervisedPool, Worker
from world_models.runs.progress import ProgressBar
from world_models.runs.threads import one_thread

LOOK_EVERY = 5.0
"""Seconds between two looks at the signs of life of actors at work."""


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, or begin one here that ends with this process."""
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "local")
        # Ray would end this process by its own, without a word to the run
        on_sigterm = signal.getsignal(signal.SIGTERM)
        with ProgressBar("joining the cluster", None):
            ray.init(address, log_to_driver=False, configure_logging=False)
        if threading.current_thread() is threading.main_thread() and on_sigterm is not None:
            signal.signal(signal.SIGTERM, on_sigterm)


def cluster_cores() -> int:
    """Cores of all nodes."""
    connect()
    return int(ray.cluster_resources().get("CPU", 1))


class _Actor:
    """Builds once, does jobs in one thread, and answers in another whether it is alive."""

    def __init__(
        self, modules: list[str], build: Callable[..., Handler], args: tuple[Any, ...]
    ) -> None:
        trust(modules)
        self._build = build
        self._args = args
        self._handler: Handler | None = None

    def do(self, job: Any) -> Any:
        """The job's result or Failure."""
        try:
            with one_thread():
                self._handler = self._handler or self._build(*self._args)
                heartbeat()
                return self._handler(job)
        except Exception as error:
            self._handler = None
            return raised(error)

    def heartbeat_count(self) -> int:
        """Signs of life so far."""
        return heartbeat_count()


@dataclass(eq=False)
class ActorWorker(Worker):
    """An actor and the answers that it owes."""

    actor: Any
    # to the last look whether it is alive; the first comes once it has started
    asked: Any
    # to its job
    answer: Any = None
    # how it was lost
    error: ray.exceptions.RayError | None = None


class RayPool(SupervisedPool[ActorWorker]):
    """Actors of a Ray cluster. A node that is lost costs the jobs at work on it: others redo them.

    An actor for which no core is free yet waits, and costs nothing.
    """

    look_every = LOOK_EVERY

    def __init__(
        self,
        count: int,
        build: Callable[..., Handler],
        args: Sequence[Any],
        deadline: float = DEADLINE,
    ) -> None:
        connect()
        self._build = build
        self._args = tuple(args)
        self._type: Any = ray.remote(_Actor).options(num_cpus=1, max_restarts=0, max_concurrency=2)
        self._served = time.monotonic()
        super().__init__(count, deadline)

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        self._served = time.monotonic()
        yield from super().attempt(jobs)

    def _start(self) -> ActorWorker:
        actor = self._type.remote(trusted(), self._build, self._args)
        return ActorWorker(actor, actor.heartbeat_count.remote())

    def _is_watched(self, worker: ActorWorker) -> bool:
        return worker.job is not None

    def _give(self, worker: ActorWorker, job: Any) -> None:
        worker.answer = worker.actor.do.remote(job)

    def _wait(self) -> list[ActorWorker]:
        self._require_a_worker()
        owed = {
            worker.answer if worker.ready else worker.asked: worker
            for worker in self._workers
            if worker.job is not None or not worker.ready
        }
        answered, _ = ray.wait(list(owed), num_returns=1, timeout=LOOK_EVERY)
        return [owed[answer] for answer in answered]

    def _require_a_worker(self) -> None:
        """A WorkerError where the cluster has had no core for any worker for too long."""
        patience = max(self._deadline, DEADLINE)
        if any(worker.ready for worker in self._workers):
            self._served = time.monotonic()
        elif time.monotonic() - self._served > patience:
            raise WorkerError(
                f"no core of the Ray cluster was free for {patience:g} seconds: "
                "see what runs there, or add nodes"
            )

    def _receive(self, worker: ActorWorker) -> tuple[Any] | None:
        owed = worker.answer if worker.ready else worker.asked
        if not ray.wait([owed], timeout=0)[0]:
            return None
        try:
            said = ray.get(owed)
        # of the actor, its node, or for want of memory
        except ray.exceptions.RayError as error:
            worker.error = error
            return None
        if not worker.ready:
            worker.asked = None
        return (said,)

    def _heartbeat_count(self, worker: ActorWorker) -> int:
        """By its last answer; asks it anew."""
        count = worker.heartbeats
        answered = worker.asked is not None and ray.wait([worker.asked], timeout=0)[0]
        # an actor that is lost says so in the answer to its job, too
        if answered:
            with contextlib.suppress(ray.exceptions.RayError):
                count = ray.get(worker.asked)
        if answered or worker.asked is None:
            worker.asked = worker.actor.heartbeat_count.remote()
        return count

    def _loss(self, worker: ActorWorker) -> Failure:
        if worker.error is None:
            return self._hung(worker)
        return Failure(f"a worker was lost ({_reason(worker.error)})", lost=True)

    def _kill(self, worker: ActorWorker) -> None:
        ray.kill(worker.actor)


def _reason(error: Exception) -> str:
    """The line that says most: the last one of a traceback, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    return lines[-1] if any(line.startswith("File ") for line in lines) else lines[0]
