"""What a pool of workers is: jobs, signs of life, failures, how often a job is tried."""

import errno
import logging
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_uint64
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import torch

from world_models.runs.signals import check
from world_models.runs.threads import one_thread

log = logging.getLogger(__name__)

Handler = Callable[[Any], Any]
ATTEMPTS = 3
"""How often a job may raise or hang before it is given up."""
HUNG_ATTEMPTS = 2
"""How often it may hang: each time costs a deadline."""
LOST_ATTEMPTS = 6
"""How many workers may die under it. These are counted apart: others may have killed them."""
DEADLINE = 120.0
"""Seconds without a sign of life after which a worker at work is replaced."""

_heartbeats: Any = c_uint64()


def heartbeat() -> None:
    """A sign of life: work that can hang calls it again and again."""
    _heartbeats.value += 1


def heartbeat_count() -> int:
    """Signs of life that this process gave so far."""
    return int(_heartbeats.value)


def count_heartbeats_in(counter: Any) -> None:
    """Count this process's signs of life in a shared c_uint64, where others see them."""
    global _heartbeats
    _heartbeats = counter


class WorkerError(RuntimeError):
    """A job could not be done; the message says why."""


@dataclass(frozen=True)
class Failure:
    """In place of a job's result: why it was not done."""

    # the last cause, in a line
    cause: str
    # a traceback
    details: str = ""
    # it gave no sign of life
    hung: bool = False
    # its worker died, or is of no more use
    lost: bool = False
    tried: int = 1


class Pool(ABC):
    """Does jobs with what `build(*args)` returns, called once in each worker.

    A job that is not done is tried again, each time with a line in the log:

    ==============================================  ====================  ===================
    what happened                                   what is done          the job is given up
    ==============================================  ====================  ===================
    it raised                                       the worker builds     after 3 tries
                                                    anew
    its worker gave no sign of life for `deadline`  the worker is         after 2 such tries
    seconds (it hangs)                              replaced
    its worker died, or ran out of memory           the worker is         after 6 such tries
                                                    replaced
    ==============================================  ====================  ===================

    A try that hangs is one of the 3; one whose worker died is not. A worker that starts or builds
    may be silent for 120 seconds, or `deadline` if that is longer. Results depend on jobs alone.
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
        """Whether every worker has done a job: one that starts and builds slows the others."""
        return True

    @abstractmethod
    def close(self) -> None:
        """End all workers; those at work are killed."""

    def map(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Do all jobs; yields (position in `jobs`, result) as each is done.

        A job that is given up is a WorkerError.
        """
        for index, outcome in self.attempt(jobs):
            if isinstance(outcome, Failure):
                raise WorkerError(
                    f"job {index + 1} of {len(jobs)} failed {outcome.tried} times: {outcome.cause}"
                )
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

    def done(self) -> None:
        """One job fewer."""
        self.missing -= 1

    def failed(self, index: int, failure: Failure) -> Failure | None:
        """Note why a job was not done; None if it is tried again, else what it comes to."""
        check()
        self._hung[index] += failure.hung
        self._lost[index] += failure.lost
        again = self._may_try(index)
        ending = "it is done again" if again else "it is given up"
        log.warning("job %d of %d: %s; %s", index + 1, len(self.jobs), failure.cause, ending)
        if failure.details:
            log.debug("where it happened:\n%s", failure.details)
        if again:
            self.waiting.appendleft(index)
            return None
        self.missing -= 1
        return replace(failure, tried=self._tried[index])

    def _may_try(self, index: int) -> bool:
        hung = self._hung[index]
        lost = self._lost[index]
        own = self._tried[index] - lost
        return own < ATTEMPTS and hung < HUNG_ATTEMPTS and lost < LOST_ATTEMPTS


def raised(error: BaseException) -> Failure:
    """What an exception of a job comes to.

    A worker that ran out of memory is as good as dead: it holds what the next job would need.
    """
    words = " ".join(str(error).split()) or "no message"
    cause = f"{type(error).__name__}: {words}"
    return Failure(cause, traceback.format_exc(), lost=_out_of_memory(error))


def _out_of_memory(error: BaseException) -> bool:
    """Whether Python, the system, torch on a GPU or torch on a CPU says so."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    by_the_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return by_the_system or "can't allocate memory" in str(error)


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
