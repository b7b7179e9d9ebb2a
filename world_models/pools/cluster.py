"""The pool of workers on a Ray cluster: one actor per worker, each on one core of some node."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from world_models.pools import processes as workers
from world_models.pools.processes import (
    DEADLINE,
    LOST_AT_START,
    Attempts,
    Failure,
    Handler,
    Pool,
    WorkerError,
    one_thread,
    raised,
)

LOOK_EVERY = 5.0
"""Seconds between two looks at the signs of life of actors at work."""


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, or begin one on this machine that ends with this process."""
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "local")
        ray.init(address, log_to_driver=False, configure_logging=False)


def cluster_cores() -> int:
    """Cores of all nodes."""
    connect()
    return int(ray.cluster_resources().get("CPU", 1))


class _Actor:
    """A worker: builds once, does jobs in one thread, and answers in another whether it is alive."""

    def __init__(self, build: Callable[..., Handler], args: tuple[Any, ...]) -> None:
        self._build, self._args = build, args
        self._handler: Handler | None = None

    def do(self, job: Any) -> Any:
        """The job's result or Failure."""
        try:
            with one_thread():
                self._handler = self._handler or self._build(*self._args)
                workers.beat()
                return self._handler(job)
        except Exception as error:
            self._handler = None
            return raised(error)

    def pulse(self) -> int:
        """Signs of life so far."""
        return workers.beats()


@dataclass(eq=False)
class _Worker:
    actor: Any
    # the answer to the last look whether it is alive; the first comes once it has started
    asked: Any
    ready: bool = False
    warm: bool = False
    job: int | None = None
    answer: Any = None
    beats: int = -1
    seen: float = 0.0


class RayPool(Pool):
    """Actors of a Ray cluster. A node that is lost costs the jobs at work on it, which are done again on others.

    An actor is given jobs from when it has started: one for which no core is free yet waits and costs nothing.
    """

    def __init__(
        self,
        count: int,
        build: Callable[..., Handler],
        args: Sequence[Any],
        deadline: float = DEADLINE,
    ) -> None:
        connect()
        self._build, self._args, self._deadline = build, tuple(args), deadline
        self._type: Any = ray.remote(_Actor).options(num_cpus=1, max_restarts=0, max_concurrency=2)
        self._lost_at_start, self._looked, self._served = 0, time.monotonic(), time.monotonic()
        self._workers = [self._start() for _ in range(count)]

    def _start(self) -> _Worker:
        actor = self._type.remote(self._build, self._args)
        return _Worker(actor, actor.pulse.remote())

    @property
    def size(self) -> int:
        return len(self._workers)

    @property
    def warm(self) -> bool:
        return all(worker.warm for worker in self._workers)

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        attempts, self._served = Attempts(jobs), time.monotonic()
        for worker in [worker for worker in self._workers if worker.job is not None]:
            self._replace(worker)  # still at work on the jobs of an attempt that was broken off
        while attempts.missing:
            for worker in self._workers:
                if worker.ready and worker.job is None and attempts.waiting:
                    worker.job, worker.seen = attempts.next(), time.monotonic()
                    worker.answer = worker.actor.do.remote(jobs[worker.job])
            self._require_a_worker()
            for worker, outcome in self._outcomes():
                index, worker.job = worker.job, None
                assert index is not None
                if not isinstance(outcome, Failure):
                    worker.warm = True
                    attempts.done()
                    yield index, outcome
                    continue
                self.setbacks += 1
                if given_up := attempts.failed(index, outcome):
                    yield index, given_up

    def _outcomes(self) -> Iterator[tuple[_Worker, Any]]:
        """Who answered or was lost, and then who of the others is silent: nobody is told of twice."""
        yield from self._answered()
        yield from self._silent()

    def _require_a_worker(self) -> None:
        """A WorkerError where for too long no worker has been there: neither a core for the first nor for those lost since."""
        patience = max(self._deadline, DEADLINE)
        if any(worker.ready for worker in self._workers):
            self._served = time.monotonic()
        elif time.monotonic() - self._served > patience:
            raise WorkerError(
                f"no core of the Ray cluster was free for {patience:g} seconds: see what runs there, or add nodes"
            )

    def _answered(self) -> list[tuple[_Worker, Any]]:
        """Workers at work that have an answer, or were lost; notes those that have started."""
        starting = {worker.asked: worker for worker in self._workers if not worker.ready}
        at_work = {worker.answer: worker for worker in self._workers if worker.job is not None}
        ready, _ = ray.wait([*starting, *at_work], num_returns=1, timeout=LOOK_EVERY)
        for answer in ready:
            if answer in starting:
                self._note_start(starting[answer])
        return [
            (at_work[answer], self._result(at_work[answer]))
            for answer in ready
            if answer in at_work
        ]

    def _note_start(self, worker: _Worker) -> None:
        try:
            worker.beats = ray.get(worker.asked)
        except ray.exceptions.RayError as error:
            self._replace(worker)
            self._lost_at_start += 1
            if self._lost_at_start >= LOST_AT_START * len(self._workers):
                raise WorkerError(
                    f"workers are lost while they start; the last: {_reason(error)}"
                ) from None
            return
        worker.ready, worker.asked, self._lost_at_start = True, None, 0

    def _result(self, worker: _Worker) -> Any:
        try:
            return ray.get(worker.answer)
        except ray.exceptions.RayError as error:  # the actor's, its node's, or for want of memory
            self._replace(worker)
            return Failure(f"a worker was lost ({_reason(error)})", lost=True)

    def _silent(self) -> list[tuple[_Worker, Failure]]:
        """Workers at work that gave no sign of life for `deadline` seconds, replaced."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return []
        self._looked = time.monotonic()
        at_work = [worker for worker in self._workers if worker.job is not None]
        late = [worker for worker in at_work if self._silent_for(worker) > self._patience(worker)]
        for worker in late:
            self._replace(worker)
        silent = "a worker gave no sign of life for {:g} seconds and was killed"
        return [
            (worker, Failure(silent.format(self._patience(worker)), hung=True)) for worker in late
        ]

    def _patience(self, worker: _Worker) -> float:
        return self._deadline if worker.beats > 0 else max(self._deadline, DEADLINE)  # it builds

    def _silent_for(self, worker: _Worker) -> float:
        """Seconds since it was given its job or last seen alive; asks it anew."""
        answered = ray.wait([worker.asked], timeout=0)[0] if worker.asked is not None else []
        with contextlib.suppress(ray.exceptions.RayError):  # its answer says so, too
            if answered and (beats := ray.get(worker.asked)) != worker.beats:
                worker.beats, worker.seen = beats, time.monotonic()
        if answered or worker.asked is None:
            worker.asked = worker.actor.pulse.remote()
        return time.monotonic() - worker.seen

    def _replace(self, worker: _Worker) -> None:
        ray.kill(worker.actor)
        self._workers[self._workers.index(worker)] = self._start()

    def close(self) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []


def _reason(error: Exception) -> str:
    """The line that says most: the last one of a traceback, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [
        "no reason given"
    ]
    return lines[-1] if any(line.startswith("File ") for line in lines) else lines[0]
