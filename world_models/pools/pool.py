"""Supervised work: what every pool shares, whoever does its jobs."""

import contextlib
import logging
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_uint64
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch

log = logging.getLogger(__name__)

Handler = Callable[[Any], Any]
ATTEMPTS = 3
"""How often a job may raise or hang before it is given up."""
HUNG_ATTEMPTS = 2
"""How often a job may hang: each time costs a deadline."""
LOST_ATTEMPTS = 6
"""How often a job may lose its worker. Others may have killed it, so a long job must not pay for that soon."""
LOST_AT_START = 10
"""Workers lost in a row before they had started, for each of the pool's, that end a run."""
DEADLINE = 120.0
"""Seconds without a sign of life after which a worker at work is replaced."""

_heartbeats: Any = c_uint64()


def heartbeat() -> None:
    """A sign of life: work that can hang calls it again and again."""
    _heartbeats.value += 1


def heartbeat_count() -> int:
    """Signs of life that this process gave so far."""
    return int(_heartbeats.value)


def share_heartbeats(counter: Any) -> None:
    """From here on this process counts its signs of life in `counter`, which its master reads."""
    global _heartbeats
    _heartbeats = counter


class WorkerError(RuntimeError):
    """A job could not be done; the message says why."""


@dataclass(frozen=True)
class Failure:
    """In place of the result of a job that failed: the cause in a line, and how it came to it."""

    cause: str
    details: str = ""
    # it gave no sign of life
    hung: bool = False
    # its worker died
    lost: bool = False
    tried: int = 1


def raised(error: BaseException) -> Failure:
    """What an exception of a job comes to."""
    words = " ".join(str(error).split()) or "no message"
    return Failure(f"{type(error).__name__}: {words}", traceback.format_exc())


class Pool(ABC):
    """Does jobs with what `build(*args)` returns, called once in each worker.

    A job that is not done is tried again, and each such event is a line in the log:

    what happened                                 how often, at most   what becomes of the worker
    it raised                                     3 in all             it builds anew
    no sign of life for `deadline` seconds        2 of these 3         it is killed and replaced
    its worker died                               6, counted apart     it is replaced

    While a new worker builds, it has 120 seconds at least. Results depend on jobs alone.
    """

    setbacks = 0
    """How often so far a job was not done when it was tried."""

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Try all jobs; yields (position in `jobs`, result or Failure) as each is done."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of workers; at least 1."""

    @property
    def warm(self) -> bool:
        """Whether every worker has done a job: one that still builds takes time from the others."""
        return True

    @abstractmethod
    def close(self) -> None:
        """End all workers; those at work are killed."""

    def map(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Do all jobs; yields (position in `jobs`, result) as each is done.

        One that fails each time is a WorkerError.
        """
        for index, outcome in self.attempt(jobs):
            if isinstance(outcome, Failure):
                place = f"job {index + 1} of {len(jobs)}"
                raise WorkerError(f"{place} failed {outcome.tried} times: {outcome.cause}")
            yield index, outcome


class Attempts:
    """Which jobs wait, and how often each was tried."""

    def __init__(self, jobs: Sequence[Any]) -> None:
        self.jobs = jobs
        self.waiting = deque(range(len(jobs)))
        self.missing = len(jobs)
        self._tried = [0] * len(jobs)
        self._hung = [0] * len(jobs)
        self._lost = [0] * len(jobs)

    def next(self) -> int:
        """A job to begin."""
        index = self.waiting.popleft()
        self._tried[index] += 1
        return index

    def failed(self, index: int, failure: Failure) -> Failure | None:
        """Note why a job was not done; None if it is tried again, else what it comes to."""
        self._hung[index] += failure.hung
        self._lost[index] += failure.lost
        again = self._may_be_tried(index)
        ending = "it is done again" if again else "it is given up"
        log.warning("job %d of %d: %s; %s", index + 1, len(self.jobs), failure.cause, ending)
        if failure.details:
            log.debug("where it happened:\n%s", failure.details)
        if again:
            self.waiting.appendleft(index)
            return None
        self.missing -= 1
        return replace(failure, tried=self._tried[index])

    def _may_be_tried(self, index: int) -> bool:
        hung, lost = self._hung[index], self._lost[index]
        own_fault = self._tried[index] - lost
        return own_fault < ATTEMPTS and hung < HUNG_ATTEMPTS and lost < LOST_ATTEMPTS

    def done(self) -> None:
        """One job fewer."""
        self.missing -= 1


class InProcessPool(Pool):
    """Jobs in this process, with the same numbers as in workers. What hangs here hangs."""

    size = 1

    def __init__(self, build: Callable[..., Handler], args: Sequence[Any]) -> None:
        self._build = build
        self._args = tuple(args)
        self._handler: Handler | None = None

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        attempts = Attempts(jobs)
        while attempts.missing:
            index = attempts.next()
            try:
                with one_thread():
                    self._handler = self._handler or self._build(*self._args)
                    outcome = self._handler(jobs[index])
            except Exception as error:
                self._handler = None
                self.setbacks += 1
                if given_up := attempts.failed(index, raised(error)):
                    yield index, given_up
            else:
                attempts.done()
                yield index, outcome

    def close(self) -> None:
        self._handler = None


@dataclass(eq=False)
class Worker:
    """What a pool knows of one of its workers."""

    # it has started: jobs are given to it from then on
    ready: bool = False
    # it has done a job
    warm: bool = False
    # the position of the job that it is at
    job: int | None = None
    # when it was started, was given its job, or was last seen alive
    seen: float = field(default_factory=time.monotonic)


W = TypeVar("W", bound=Worker)


class SupervisedPool(Pool, Generic[W]):
    """Workers that may raise, hang or die: the one loop that supervises them.

    A pool of a certain kind gives `_start`, `_give`, `_kill` and `_events`, and says by
    `_has_beaten` whether a worker has given a sign of life yet. What befalls a worker before it
    is ready costs no job an attempt.
    """

    def __init__(
        self,
        count: int,
        build: Callable[..., Handler],
        args: Sequence[Any],
        deadline: float = DEADLINE,
    ) -> None:
        assert count > 0, count
        self._build = build
        self._args = tuple(args)
        self._deadline = deadline
        self._lost_at_start = 0
        self._workers = [self._start() for _ in range(count)]

    @abstractmethod
    def _start(self) -> W:
        """A new worker; it is not ready yet."""

    @abstractmethod
    def _give(self, worker: W, job: Any) -> None:
        """Let a ready worker begin a job."""

    @abstractmethod
    def _kill(self, worker: W) -> None:
        """End a worker, whatever it does."""

    @abstractmethod
    def _events(self) -> Iterator[tuple[W, Any]]:
        """Wait until something happens; workers at work that are so no more, each with its outcome.

        The outcome is a result or a Failure. Workers that are lost have been replaced by
        `_replace`, those that have started were noted by `_note_start`.
        """

    @abstractmethod
    def _has_beaten(self, worker: W) -> bool:
        """Whether a worker has given a sign of life: until then it starts or builds."""

    @property
    def size(self) -> int:
        return len(self._workers)

    @property
    def warm(self) -> bool:
        return all(worker.warm for worker in self._workers)

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        attempts = Attempts(jobs)
        for worker in [worker for worker in self._workers if worker.job is not None]:
            self._replace(worker)  # still at work on the jobs of an attempt that was broken off
        while attempts.missing:
            self._hand_out(attempts)
            for worker, outcome in self._events():
                index = worker.job
                worker.job = None
                assert index is not None, worker
                if isinstance(outcome, Failure):
                    self.setbacks += 1
                    if given_up := attempts.failed(index, outcome):
                        yield index, given_up
                else:
                    worker.warm = True
                    attempts.done()
                    yield index, outcome

    def _hand_out(self, attempts: Attempts) -> None:
        for worker in self._workers:
            if worker.ready and worker.job is None and attempts.waiting:
                index = attempts.next()
                worker.job = index
                worker.seen = time.monotonic()
                self._give(worker, attempts.jobs[index])

    def _note_start(self, worker: W) -> None:
        worker.ready = True
        self._lost_at_start = 0

    def _replace(self, worker: W) -> None:
        """Start another worker in the place of this one, which is ended."""
        self._kill(worker)
        self._workers[self._workers.index(worker)] = self._start()

    def _note_loss(self, worker: W, cause: str) -> None:
        """Workers that are lost again and again while they start are a WorkerError."""
        self._lost_at_start += not worker.ready
        if self._lost_at_start >= LOST_AT_START * len(self._workers):
            raise WorkerError(
                f"workers are lost while they start, {self._lost_at_start} in a row; "
                f"the last: {cause}"
            )

    def _patience(self, worker: W) -> float:
        """Seconds that a worker may be silent."""
        return self._deadline if self._has_beaten(worker) else max(self._deadline, DEADLINE)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes as a worker does: other thread counts give other last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
