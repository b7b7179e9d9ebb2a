"""The one loop that supervises workers, whatever they are: processes, actors of a cluster."""

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from world_models.pools.pool import DEADLINE, Attempts, Failure, Pool, WorkerError

log = logging.getLogger(__name__)

LOST_AT_START = 10
"""Workers lost in a row before they had started, for each of the pool's, that end a run."""


@dataclass(eq=False, kw_only=True)
class Worker:
    """What the loop knows of a worker: it starts, then is idle or at work on a job."""

    # it has started; it is given jobs from then on
    ready: bool = False
    # it has done a job
    warm: bool = False
    # position of the job that it is at work on; None: it starts or is idle
    job: int | None = None
    # signs of life when they were last counted
    heartbeats: int = 0
    # when it was started, was given its job, or was last seen alive
    seen: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return "a worker"


AnyWorker = TypeVar("AnyWorker", bound=Worker)


class SupervisedPool(Pool, Generic[AnyWorker]):
    """A pool of workers that may raise, hang and die.

    A kind of worker is a subclass that says how one is started, given a job, waited for,
    listened to, counted alive and killed. What befalls a worker before it has started costs no
    job a try.
    """

    look_every = 0.0
    """Seconds between two looks at the signs of life, where a look costs something."""

    def __init__(self, count: int, deadline: float = DEADLINE) -> None:
        assert count > 0, count
        self._deadline = deadline
        self._lost_at_start = 0
        self._looked = time.monotonic()
        self._workers = [self._start() for _ in range(count)]

    @abstractmethod
    def _start(self) -> AnyWorker:
        """Begin a worker; does not wait until it has started."""

    @abstractmethod
    def _give(self, worker: AnyWorker, job: Any) -> None:
        """Hand it a job. One that is dead by now is no error here: `_wait` finds it."""

    @abstractmethod
    def _wait(self) -> list[AnyWorker]:
        """Wait until workers say something or die; returns them, none when time is up."""

    @abstractmethod
    def _receive(self, worker: AnyWorker) -> tuple[Any] | None:
        """(what it said,); None if it said nothing. Its first word is that it has started."""

    @abstractmethod
    def _heartbeat_count(self, worker: AnyWorker) -> int:
        """Its signs of life, as far as is known without waiting."""

    @abstractmethod
    def _loss(self, worker: AnyWorker) -> Failure:
        """Why it said nothing: it died, or else it hangs (see `_hung`)."""

    @abstractmethod
    def _kill(self, worker: AnyWorker) -> None:
        """End it, whatever it does; it may be dead already."""

    def _is_watched(self, worker: AnyWorker) -> bool:
        """Whether it must give signs of life; an idle one need not."""
        return worker.job is not None or not worker.ready

    @property
    def size(self) -> int:
        return len(self._workers)

    @property
    def warm(self) -> bool:
        return all(worker.warm for worker in self._workers)

    def close(self) -> None:
        for worker in self._workers:
            self._kill(worker)
        self._workers = []

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        attempts = Attempts(jobs)
        self._replace_those_at_work()
        while attempts.missing:
            self._give_jobs(attempts)
            for worker in self._workers_to_attend():
                index = worker.job
                outcome = self._hear(worker)
                worker.job = None
                if index is None:
                    continue
                if not isinstance(outcome, Failure):
                    worker.warm = True
                    attempts.done()
                    yield index, outcome
                    continue
                self.setbacks += 1
                if given_up := attempts.failed(index, outcome):
                    yield index, given_up

    def _replace_those_at_work(self) -> None:
        """They are at work on the jobs of an attempt that was broken off."""
        for worker in [worker for worker in self._workers if worker.job is not None]:
            self._replace(worker)

    def _give_jobs(self, attempts: Attempts) -> None:
        for worker in self._workers:
            if worker.ready and worker.job is None and attempts.waiting:
                index = attempts.next()
                log.debug("job %d of %d goes to %s", index + 1, len(attempts.jobs), worker)
                worker.job = index
                worker.seen = time.monotonic()
                self._give(worker, attempts.jobs[index])

    def _workers_to_attend(self) -> list[AnyWorker]:
        """Those that said something, died, or are silent for too long; each one once."""
        stirring = self._wait()
        return stirring + [worker for worker in self._silent() if worker not in stirring]

    def _silent(self) -> list[AnyWorker]:
        if time.monotonic() - self._looked < self.look_every:
            return []
        self._looked = time.monotonic()
        return [worker for worker in self._workers if self._seconds_left(worker) < 0]

    def _seconds_left(self, worker: AnyWorker) -> float:
        """How long it may still be silent."""
        if not self._is_watched(worker):
            return math.inf
        heartbeats = self._heartbeat_count(worker)
        if heartbeats != worker.heartbeats:
            worker.heartbeats = heartbeats
            worker.seen = time.monotonic()
        return worker.seen + self._patience(worker) - time.monotonic()

    def _patience(self, worker: AnyWorker) -> float:
        """Seconds that it may be silent; before its first sign of life it starts or builds."""
        return self._deadline if worker.heartbeats else max(self._deadline, DEADLINE)

    def _hear(self, worker: AnyWorker) -> Any:
        """Its job's result or Failure; one that is lost is replaced."""
        said = self._receive(worker)
        if said is None:
            return self._lose(worker)
        if not worker.ready:
            worker.ready = True
            self._lost_at_start = 0
        if isinstance(said[0], Failure) and said[0].lost:
            self._replace(worker)
        return said[0]

    def _lose(self, worker: AnyWorker) -> Failure:
        """Replace one that died or hangs; too many in a row that never started: a WorkerError."""
        failure = self._loss(worker)
        self._replace(worker)
        self._lost_at_start += not worker.ready
        if self._lost_at_start >= LOST_AT_START * len(self._workers):
            raise WorkerError(
                f"workers are lost while they start, {self._lost_at_start} in a row; "
                f"the last: {failure.cause}"
            )
        if worker.job is None:
            log.warning("%s; another takes its place", failure.cause)
        return failure

    def _replace(self, worker: AnyWorker) -> None:
        self._kill(worker)
        self._workers[self._workers.index(worker)] = self._start()

    def _hung(self, worker: AnyWorker) -> Failure:
        """What silence comes to."""
        silence = f"gave no sign of life for {self._patience(worker):g} seconds and was killed"
        return Failure(f"{worker} {silence}", hung=True)
