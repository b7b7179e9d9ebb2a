"""A supervised pool of processes: ordered results from fixed jobs, whatever the number of workers and whoever dies."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import torch
import torch.multiprocessing

log = logging.getLogger(__name__)

Handler = Callable[[Any], Any]
ATTEMPTS = 3


class WorkerError(RuntimeError):
    """A job raised in a worker; the message holds the worker's traceback."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: int | None = None
    since: float = 0.0


class WorkerPool:
    """`build(*args)` runs once in each worker and returns the function that does jobs.

    Spawned processes with one torch thread each; the master waits on pipes and process sentinels. A worker that raises
    raises here; one that dies, or works longer than `deadline` seconds on a job, is replaced and its job redone, three
    times at most. `workers=0` does the jobs in this process, with the same numbers.
    """

    def __init__(
        self, workers: int, build: Callable[..., Handler], args: Sequence[Any], deadline: float | None = None
    ) -> None:
        self._build, self._args, self._deadline = build, tuple(args), deadline
        self._handler: Handler | None = None
        self._workers: list[_Worker] = []
        if workers:
            self._workers = [self._start() for _ in range(workers)]

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def map(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Do all jobs; yields (position in `jobs`, result) as each is done."""
        return self._map_here(jobs) if not self._workers else self._map_spread(jobs)

    def _map_here(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for index, job in enumerate(jobs):
            log.debug("job %d of %d", index + 1, len(jobs))
            with one_thread():
                self._handler = self._handler or self._build(*self._args)
                result = self._handler(job)
            yield index, result

    def _map_spread(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        waiting, attempts, missing = deque(range(len(jobs))), [0] * len(jobs), len(jobs)
        while missing:
            for worker in self._workers:
                if worker.job is None and waiting:
                    self._give(worker, waiting.popleft(), jobs, attempts)
            for worker in self._ready():
                outcome = self._receive(worker)
                if outcome is None:
                    waiting.appendleft(self._replace(worker, attempts))
                    continue
                index, worker.job = worker.job, None
                assert index is not None
                missing -= 1
                yield index, outcome[0]

    def _give(self, worker: _Worker, index: int, jobs: Sequence[Any], attempts: list[int]) -> None:
        attempts[index] += 1
        log.debug("job %d of %d goes to worker %d", index + 1, len(jobs), worker.process.pid)
        worker.job, worker.since = index, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead worker shows in _ready
            worker.pipe.send(jobs[index])

    def _ready(self) -> list[_Worker]:
        """Busy workers that answered, died or overran the deadline."""
        busy = [worker for worker in self._workers if worker.job is not None]
        handles: list[Any] = [handle for worker in busy for handle in (worker.pipe, worker.process.sentinel)]
        ready = set(wait(handles, timeout=self._patience(busy)))
        late = time.monotonic() - (self._deadline or float("inf"))
        return [w for w in busy if w.pipe in ready or w.process.sentinel in ready or w.since < late]

    def _patience(self, busy: list[_Worker]) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, min(worker.since for worker in busy) + self._deadline - time.monotonic())

    def _receive(self, worker: _Worker) -> tuple[Any] | None:
        """The worker's result, or None when it has none to give."""
        try:
            if not worker.pipe.poll():
                return None
            state, value = worker.pipe.recv()
        except (EOFError, OSError):
            return None
        if state == "error":
            raise WorkerError(f"a job failed in a worker:\n{value}")
        return (value,)

    def _replace(self, worker: _Worker, attempts: list[int]) -> int:
        index = worker.job
        assert index is not None
        worker.process.kill()
        worker.process.join()
        cause = f"exit code {worker.process.exitcode}"
        if attempts[index] >= ATTEMPTS:
            raise WorkerError(
                f"job {index} lost its worker {ATTEMPTS} times (last: {cause}); look for memory or a hanging environment"
            )
        log.warning("worker %d ended (%s); its job %d is redone", worker.process.pid, cause, index)
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = self._start()
        return index

    def _start(self) -> _Worker:
        context = torch.multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._build, self._args), daemon=True)
        signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT}
        )  # inherited: Ctrl-C must not meet a worker that is starting
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        return _Worker(process, ours)

    def close(self) -> None:
        """End all workers; those at work are killed."""
        for worker in self._workers:
            worker.pipe.close()
            if worker.job is not None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers = []


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes as a worker does: other thread counts give other last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _serve(pipe: Connection, build: Callable[..., Handler], args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    handler: Handler | None = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            handler = handler or build(*args)
            answer = ("result", handler(job))
        except Exception:
            answer = ("error", traceback.format_exc())
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
