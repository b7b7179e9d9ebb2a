"""A supervised pool of processes: ordered results from fixed jobs, whatever the number of workers and whoever dies."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_uint64
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import torch
import torch.multiprocessing

log = logging.getLogger(__name__)

Handler = Callable[[Any], Any]
ATTEMPTS, HUNG_ATTEMPTS, LOST_ATTEMPTS = 3, 2, 6
"""How often a job may raise or hang, hang, and lose its worker before it is given up: a worker that dies need not be the
job's doing, for others may kill it, and where that happens again and again a long job must not pay for it."""
LOST_AT_START = 10
"""Workers lost in a row before they had started, for each of the pool's, that end a run."""
DEADLINE = 120.0
"""Seconds without a sign of life after which a worker at work is replaced."""

_pulse: Any = c_uint64()


def beat() -> None:
    """A sign of life: work that can hang calls it again and again."""
    _pulse.value += 1


def beats() -> int:
    """Signs of life that this process gave so far."""
    return int(_pulse.value)


class WorkerError(RuntimeError):
    """A job could not be done; the message says why."""


@dataclass(frozen=True)
class Failure:
    """In place of the result of a job that failed each time: the last cause, in a line, and how it came to it."""

    cause: str
    details: str = ""
    hung: bool = False  # it gave no sign of life: each attempt costs a deadline
    lost: bool = False  # its worker died
    tried: int = 1


class Pool(ABC):
    """Does jobs with what `build(*args)` returns, called once in each worker.

    A job that raises (its worker then builds anew), whose worker dies, or shows no sign of life for `deadline`
    seconds (120 at least while a new worker builds), is done again: it is tried three times at most, or twice where it
    hangs, workers that die not counted, of which it may lose six; each such event is a line in the log.
    Results depend on jobs alone.
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
        """Whether every worker has done a job: until then one that starts and builds takes time from the others."""
        return True

    @abstractmethod
    def close(self) -> None:
        """End all workers; those at work are killed."""

    def map(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Do all jobs; yields (position in `jobs`, result) as each is done. One that fails each time is a WorkerError."""
        for index, outcome in self.attempt(jobs):
            if isinstance(outcome, Failure):
                raise WorkerError(
                    f"job {index + 1} of {len(jobs)} failed {outcome.tried} times: {outcome.cause}"
                )
            yield index, outcome


class Attempts:
    """Which jobs wait, and how often each was tried."""

    def __init__(self, jobs: Sequence[Any]) -> None:
        self.jobs, self.waiting = jobs, deque(range(len(jobs)))
        self._tried, self._hung, self._lost = ([0] * len(jobs) for _ in range(3))
        self.missing = len(jobs)

    def next(self) -> int:
        """A job to begin."""
        index = self.waiting.popleft()
        self._tried[index] += 1
        return index

    def failed(self, index: int, failure: Failure) -> Failure | None:
        """Note why a job was not done; None if it is tried again, else what it comes to."""
        self._hung[index] += failure.hung
        self._lost[index] += failure.lost
        hung, lost = self._hung[index], self._lost[index]
        again = (
            self._tried[index] - lost < ATTEMPTS and hung < HUNG_ATTEMPTS and lost < LOST_ATTEMPTS
        )
        ending = "it is done again" if again else "it is given up"
        log.warning("job %d of %d: %s; %s", index + 1, len(self.jobs), failure.cause, ending)
        if failure.details:
            log.debug("where it happened:\n%s", failure.details)
        if again:
            self.waiting.appendleft(index)
            return None
        self.missing -= 1
        return replace(failure, tried=self._tried[index])

    def done(self) -> None:
        """One job fewer."""
        self.missing -= 1


def raised(error: BaseException) -> Failure:
    """What an exception of a job comes to."""
    words = " ".join(str(error).split()) or "no message"
    return Failure(f"{type(error).__name__}: {words}", traceback.format_exc())


class Here(Pool):
    """Jobs in this process, with the same numbers as in workers. What hangs here hangs."""

    size = 1

    def __init__(self, build: Callable[..., Handler], args: Sequence[Any]) -> None:
        self._build, self._args = build, tuple(args)
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
class _Worker:
    process: Any
    pipe: Connection
    pulse: Any
    ready: bool = False  # its process has started
    warm: bool = False  # it has done a job
    job: int | None = None
    beats: int = 0
    seen: float = field(default_factory=time.monotonic)

    def give(self, index: int, job: Any) -> None:
        self.job, self.seen = index, time.monotonic()
        # a dead worker shows in its sentinel
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(job)

    def silent_for(self) -> float:
        """Seconds since it was started, was given its job, or was last seen alive; 0 for an idle one."""
        if self.ready and self.job is None:
            return 0.0
        if self.pulse.value != self.beats:
            self.beats, self.seen = self.pulse.value, time.monotonic()
        return time.monotonic() - self.seen

    def receive(self) -> tuple[Any] | None:
        """What it sent, or None when it has nothing to give."""
        try:
            return (self.pipe.recv(),) if self.pipe.poll() else None
        except (EOFError, OSError):
            return None


class WorkerPool(Pool):
    """Spawned processes with one torch thread each; the master waits on pipes and process sentinels.

    A worker says when it has started, and is given jobs from then on: what befalls it before costs no job an attempt.
    """

    def __init__(
        self,
        workers: int,
        build: Callable[..., Handler],
        args: Sequence[Any],
        deadline: float = DEADLINE,
    ) -> None:
        assert workers > 0, workers
        self._build, self._args, self._deadline = build, tuple(args), deadline
        self._lost_at_start = 0
        self._workers = [self._start() for _ in range(workers)]

    @property
    def size(self) -> int:
        return len(self._workers)

    @property
    def warm(self) -> bool:
        return all(worker.warm for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        attempts = Attempts(jobs)
        for worker in [worker for worker in self._workers if worker.job is not None]:
            self._replace(worker)  # still at work on the jobs of an attempt that was broken off
        while attempts.missing:
            for worker in self._workers:
                if worker.ready and worker.job is None and attempts.waiting:
                    given = attempts.next()
                    log.debug(
                        "job %d of %d goes to worker %d", given + 1, len(jobs), worker.process.pid
                    )
                    worker.give(given, jobs[given])
            for worker in self._stirring():
                index, (outcome,) = worker.job, worker.receive() or (self._lost(worker),)
                worker.job = None
                if index is None:
                    self._note_start(worker)
                    continue
                if not isinstance(outcome, Failure):
                    worker.warm = True
                    attempts.done()
                    yield index, outcome
                    continue
                self.setbacks += 1
                if given_up := attempts.failed(index, outcome):
                    yield index, given_up

    def _note_start(self, worker: _Worker) -> None:
        if worker in self._workers:
            worker.ready, self._lost_at_start = True, 0

    def _stirring(self) -> list[_Worker]:
        """Workers that sent something, died, or are silent for too long."""
        handles: list[Any] = [
            handle for worker in self._workers for handle in (worker.pipe, worker.process.sentinel)
        ]
        patience = min(self._patience(worker) - worker.silent_for() for worker in self._workers)
        found = set(wait(handles, timeout=max(0.0, min(patience, self._deadline))))
        return [
            worker
            for worker in self._workers
            if {worker.pipe, worker.process.sentinel} & found
            or worker.silent_for() > self._patience(worker)
        ]

    def _patience(self, worker: _Worker) -> float:
        # it starts or builds
        return self._deadline if worker.pulse.value else max(self._deadline, DEADLINE)

    def _lost(self, worker: _Worker) -> Failure:
        """Replace a worker that is dead or hangs; workers that are lost again and again while they start are a WorkerError."""
        failure = self._replace(worker)
        self._lost_at_start += not worker.ready
        if self._lost_at_start >= LOST_AT_START * len(self._workers):
            raise WorkerError(
                f"workers are lost while they start, {self._lost_at_start} in a row; the last: {failure.cause}"
            )
        if worker.job is None:
            log.warning("%s; another takes its place", failure.cause)
        return failure

    def _replace(self, worker: _Worker) -> Failure:
        """Start another in its place; says what became of this one."""
        worker.process.join(timeout=0.2)  # a pipe that broke is seen before the exit code
        code = worker.process.exitcode
        cause = f"worker {worker.process.pid} {_ending(code)}"
        if code is None:
            silent = f"gave no sign of life for {self._patience(worker):g} seconds and was killed"
            cause = f"worker {worker.process.pid} {silent}"
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = self._start()
        return Failure(cause, hung=code is None, lost=code is not None)

    def _start(self) -> _Worker:
        context = torch.multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        pulse = context.RawValue(c_uint64)
        process = context.Process(
            target=_serve, args=(theirs, pulse, self._build, self._args), daemon=True
        )
        signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT}
        )  # inherited: Ctrl-C must not meet a worker that is starting
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        return _Worker(process, ours, pulse)

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
            if worker.job is not None or not worker.ready:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers = []


def _ending(code: int | None) -> str:
    """What an exit code says."""
    if code == -signal.SIGKILL:
        return "was killed by signal 9, as the system does where memory runs out"
    return (
        f"was killed by signal {-code}"
        if code is not None and code < 0
        else f"ended with exit code {code}"
    )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes as a worker does: other thread counts give other last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _serve(
    pipe: Connection, pulse: Any, build: Callable[..., Handler], args: tuple[Any, ...]
) -> None:
    global _pulse
    _pulse = pulse
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    # the master has closed the pipe
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(None)  # ready
        handler: Handler | None = None
        while True:
            job = pipe.recv()
            try:
                handler = handler or build(*args)
                beat()
                answer = handler(job)
            except Exception as error:
                handler, answer = None, raised(error)
            pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
