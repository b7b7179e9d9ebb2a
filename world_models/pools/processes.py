"""A pool of processes on this machine: one pipe per worker, no shared queue, no polling."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from ctypes import c_uint64
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.multiprocessing

from world_models.pools.pool import (
    Failure,
    Handler,
    SupervisedPool,
    Worker,
    heartbeat,
    raised,
    share_heartbeats,
)

log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class ProcessWorker(Worker):
    """A process, its pipe, and the counter of its signs of life."""

    process: Any
    pipe: Connection
    heartbeats: Any
    # of them, when they were last looked at
    counted: int = field(default=0)

    def silent_for(self) -> float:
        """Seconds since it was started, was given its job, or was last seen alive; 0 while idle."""
        if self.ready and self.job is None:
            return 0.0
        if self.heartbeats.value != self.counted:
            self.counted = self.heartbeats.value
            self.seen = time.monotonic()
        return time.monotonic() - self.seen

    def receive(self) -> tuple[Any] | None:
        """What it sent, or None when it has nothing to give."""
        try:
            return (self.pipe.recv(),) if self.pipe.poll() else None
        except (EOFError, OSError):
            return None


class WorkerPool(SupervisedPool[ProcessWorker]):
    """Spawned processes with one torch thread each; the master waits on pipes and process sentinels."""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def _start(self) -> ProcessWorker:
        context = torch.multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        counter = context.RawValue(c_uint64)
        arguments = (theirs, counter, self._build, self._args)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        # inherited: Ctrl-C must not meet a worker that is starting
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        return ProcessWorker(process=process, pipe=ours, heartbeats=counter)

    def _give(self, worker: ProcessWorker, job: Any) -> None:
        log.debug("job %s goes to worker %d", worker.job, worker.process.pid)
        # a dead worker shows in its sentinel
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.pipe.send(job)

    def _events(self) -> Iterator[tuple[ProcessWorker, Any]]:
        for worker in self._workers_to_attend():
            answer = worker.receive()
            outcome = self._lost(worker) if answer is None else answer[0]
            if worker.job is not None:
                yield worker, outcome
            elif answer is not None:
                self._note_start(worker)

    def _workers_to_attend(self) -> list[ProcessWorker]:
        """Workers that sent something, died, or are silent for too long."""
        handles: list[Any] = []
        for worker in self._workers:
            handles += [worker.pipe, worker.process.sentinel]
        left = [self._patience(worker) - worker.silent_for() for worker in self._workers]
        found = set(wait(handles, timeout=max(0.0, min(*left, self._deadline))))
        return [
            worker
            for worker in self._workers
            if {worker.pipe, worker.process.sentinel} & found
            or worker.silent_for() > self._patience(worker)
        ]

    def _has_beaten(self, worker: ProcessWorker) -> bool:
        return bool(worker.heartbeats.value)

    def _lost(self, worker: ProcessWorker) -> Failure:
        """Replace a worker that is dead or hangs; says what became of it."""
        worker.process.join(timeout=0.2)  # a pipe that broke is seen before the exit code
        code = worker.process.exitcode
        ending = _ending(code)
        if code is None:
            patience = f"{self._patience(worker):g}"
            ending = f"gave no sign of life for {patience} seconds and was killed"
        cause = f"worker {worker.process.pid} {ending}"
        self._replace(worker)
        self._note_loss(worker, cause)
        if worker.job is None:
            log.warning("%s; another takes its place", cause)
        return Failure(cause, hung=code is None, lost=code is not None)

    def _kill(self, worker: ProcessWorker) -> None:
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()

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
    if code is not None and code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def _serve(
    pipe: Connection, heartbeats: Any, build: Callable[..., Handler], args: tuple[Any, ...]
) -> None:
    """What a worker's process does until its pipe closes."""
    share_heartbeats(heartbeats)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_master, daemon=True).start()
    torch.set_num_threads(1)
    # the master has closed the pipe
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(None)  # ready
        handler: Handler | None = None
        while True:
            job = pipe.recv()
            try:
                handler = handler or build(*args)
                heartbeat()
                answer = handler(job)
            except Exception as error:
                handler = None
                answer = raised(error)
            pipe.send(answer)


def _end_with_master() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
