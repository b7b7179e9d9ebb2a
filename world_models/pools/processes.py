"""Workers that are processes of this machine."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from ctypes import c_uint64
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.multiprocessing

from world_models.envs.trust import trust, trusted
from world_models.pools.pool import (
    DEADLINE,
    Failure,
    Handler,
    WorkerError,
    count_heartbeats_in,
    heartbeat,
    raised,
)
from world_models.pools.supervision import SupervisedPool, Worker
from world_models.pools.unguarded import ADVICE, EXIT_CODE
from world_models.runs.signals import whole_write
from world_models.runs.threads import use_threads


@dataclass(eq=False)
class ProcessWorker(Worker):
    """A process, our end of its pipe, and its signs of life in shared memory."""

    process: Any
    pipe: Connection
    heartbeat_counter: Any

    def __str__(self) -> str:
        return f"worker {self.process.pid}"


class WorkerPool(SupervisedPool[ProcessWorker]):
    """Spawned processes with one torch thread each; waits on their pipes and sentinels."""

    def __init__(
        self,
        workers: int,
        build: Callable[..., Handler],
        args: Sequence[Any],
        deadline: float = DEADLINE,
    ) -> None:
        self._build = build
        self._args = tuple(args)
        super().__init__(workers, deadline)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def _start(self) -> ProcessWorker:
        context = torch.multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        counter = context.RawValue(c_uint64)
        args = (theirs, counter, trusted(), self._build, self._args)
        process = context.Process(target=_serve, args=args, daemon=True)
        # inherited: Ctrl-C must not meet a worker that is starting
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # nor end it in the middle, which leaves the worker half of what it is to read
            with whole_write():
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        return ProcessWorker(process, ours, counter)

    def _give(self, worker: ProcessWorker, job: Any) -> None:
        # a dead worker shows in its sentinel
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.pipe.send(job)

    def _wait(self) -> list[ProcessWorker]:
        handles: list[Any] = []
        for worker in self._workers:
            handles += [worker.pipe, worker.process.sentinel]
        patience = min(map(self._seconds_left, self._workers))
        found = set(wait(handles, timeout=max(0.0, min(patience, self._deadline))))
        return [
            worker for worker in self._workers if {worker.pipe, worker.process.sentinel} & found
        ]

    def _receive(self, worker: ProcessWorker) -> tuple[Any] | None:
        try:
            return (worker.pipe.recv(),) if worker.pipe.poll() else None
        except (EOFError, OSError):
            return None

    def _heartbeat_count(self, worker: ProcessWorker) -> int:
        return int(worker.heartbeat_counter.value)

    def _loss(self, worker: ProcessWorker) -> Failure:
        # a pipe that broke is seen before the exit code
        worker.process.join(timeout=0.2)
        code = worker.process.exitcode
        if code is None:
            return self._hung(worker)
        if code == EXIT_CODE:
            raise WorkerError(ADVICE)
        return Failure(f"{worker} {_ending(code)}", lost=True)

    def _kill(self, worker: ProcessWorker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()

    def close(self) -> None:
        """Idle workers end by themselves when their pipe is closed."""
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


def _ending(code: int) -> str:
    """What an exit code says."""
    if code == -signal.SIGKILL:
        return "was killed by signal 9, as the system does where memory runs out"
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _serve(
    pipe: Connection,
    counter: Any,
    modules: list[str],
    build: Callable[..., Handler],
    args: tuple[Any, ...],
) -> None:
    """What runs in a worker's process: say that it has started, then do jobs."""
    count_heartbeats_in(counter)
    trust(modules)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_threads(1)
    # the master has closed the pipe
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(None)
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


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
