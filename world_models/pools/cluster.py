"""The pool of workers on a Ray cluster: one actor per worker, each on one core of some node."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from world_models.pools.pool import (
    DEADLINE,
    Failure,
    Handler,
    SupervisedPool,
    Worker,
    WorkerError,
    heartbeat,
    heartbeat_count,
    one_thread,
    raised,
)

LOOK_EVERY = 5.0
"""Seconds between two looks at the signs of life of actors at work."""
NOT_STARTED = -1
"""Signs of life of an actor that has not answered yet."""


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, or begin one here that ends with this process."""
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "local")
        ray.init(address, log_to_driver=False, configure_logging=False)


def cluster_cores() -> int:
    """Cores of all nodes."""
    connect()
    return int(ray.cluster_resources().get("CPU", 1))


class _Actor:
    """Builds once, does jobs in one thread, and answers in another whether it is alive."""

    def __init__(self, build: Callable[..., Handler], args: tuple[Any, ...]) -> None:
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

    def heartbeats(self) -> int:
        """Signs of life so far."""
        return heartbeat_count()


@dataclass(eq=False, kw_only=True)
class ActorWorker(Worker):
    """An actor, and the answers that are expected of it."""

    actor: Any
    # to the last question whether it is alive; the first comes once it has started
    asked: Any
    # to the job that it is at
    answer: Any = None
    heartbeats: int = NOT_STARTED


class RayPool(SupervisedPool[ActorWorker]):
    """Actors of a Ray cluster. A node that is lost costs the jobs at work on it: others do them again.

    An actor for which no core is free yet waits and costs nothing.
    """

    def __init__(
        self,
        count: int,
        build: Callable[..., Handler],
        args: Sequence[Any],
        deadline: float = DEADLINE,
    ) -> None:
        connect()
        options = {"num_cpus": 1, "max_restarts": 0, "max_concurrency": 2}
        self._type: Any = ray.remote(_Actor).options(**options)
        # when the silence of actors was last looked at, and when one of them was last there
        self._looked = time.monotonic()
        self._served = time.monotonic()
        super().__init__(count, build, args, deadline)

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        self._served = time.monotonic()
        yield from super().attempt(jobs)

    def _start(self) -> ActorWorker:
        actor = self._type.remote(self._build, self._args)
        return ActorWorker(actor=actor, asked=actor.heartbeats.remote())

    def _give(self, worker: ActorWorker, job: Any) -> None:
        worker.answer = worker.actor.do.remote(job)

    def _kill(self, worker: ActorWorker) -> None:
        ray.kill(worker.actor)

    def _has_beaten(self, worker: ActorWorker) -> bool:
        return worker.heartbeats > 0

    def _events(self) -> Iterator[tuple[ActorWorker, Any]]:
        """Who answered or was lost, and then who of the others is silent: nobody is told of twice."""
        self._require_a_worker()
        yield from self._answered()
        yield from self._silent()

    def _require_a_worker(self) -> None:
        """A WorkerError where no core has been free for too long."""
        patience = max(self._deadline, DEADLINE)
        if any(worker.ready for worker in self._workers):
            self._served = time.monotonic()
        elif time.monotonic() - self._served > patience:
            raise WorkerError(
                f"no core of the Ray cluster was free for {patience:g} seconds: see what runs "
                "there, or add nodes"
            )

    def _answered(self) -> list[tuple[ActorWorker, Any]]:
        """Workers at work that have an answer, or were lost; notes those that have started."""
        starting = {worker.asked: worker for worker in self._workers if not worker.ready}
        at_work = {worker.answer: worker for worker in self._workers if worker.job is not None}
        ready, _ = ray.wait([*starting, *at_work], num_returns=1, timeout=LOOK_EVERY)
        for answer in ready:
            if answer in starting:
                self._started_or_lost(starting[answer])
        answered = [at_work[answer] for answer in ready if answer in at_work]
        return [(worker, self._result(worker)) for worker in answered]

    def _started_or_lost(self, worker: ActorWorker) -> None:
        try:
            worker.heartbeats = ray.get(worker.asked)
        except ray.exceptions.RayError as error:
            self._replace(worker)
            self._note_loss(worker, _reason(error))
        else:
            worker.asked = None
            self._note_start(worker)

    def _result(self, worker: ActorWorker) -> Any:
        try:
            return ray.get(worker.answer)
        except ray.exceptions.RayError as error:  # the actor's, its node's, or for want of memory
            self._replace(worker)
            return Failure(f"a worker was lost ({_reason(error)})", lost=True)

    def _silent(self) -> list[tuple[ActorWorker, Failure]]:
        """Workers at work that gave no sign of life for `deadline` seconds, replaced."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return []
        self._looked = time.monotonic()
        at_work = [worker for worker in self._workers if worker.job is not None]
        late = [worker for worker in at_work if self._silent_for(worker) > self._patience(worker)]
        for worker in late:
            self._replace(worker)
        silent = "a worker gave no sign of life for {:g} seconds and was killed"
        causes = [silent.format(self._patience(worker)) for worker in late]
        return [
            (worker, Failure(cause, hung=True)) for worker, cause in zip(late, causes, strict=True)
        ]

    def _silent_for(self, worker: ActorWorker) -> float:
        """Seconds since it was given its job or last seen alive; asks it anew."""
        asked = worker.asked
        answered = ray.wait([asked], timeout=0)[0] if asked is not None else []
        with contextlib.suppress(ray.exceptions.RayError):  # its answer says so, too
            if answered and (count := ray.get(asked)) != worker.heartbeats:
                worker.heartbeats = count
                worker.seen = time.monotonic()
        if answered or asked is None:
            worker.asked = worker.actor.heartbeats.remote()
        return time.monotonic() - worker.seen

    def close(self) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []


def _reason(error: Exception) -> str:
    """The line that says most: the last one of a traceback, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    return lines[-1] if any(line.startswith("File ") for line in lines) else lines[0]
