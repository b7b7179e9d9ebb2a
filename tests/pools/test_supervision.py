"""The one loop that supervises workers, with workers that are threads: who fails how, and when."""

import errno
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from world_models.pools import supervision
from world_models.pools.pool import Failure, WorkerError, raised
from world_models.pools.supervision import SupervisedPool, Worker


@dataclass(eq=False)
class ThreadWorker(Worker):
    said: queue.Queue[Any] = field(default_factory=queue.Queue)
    dead: bool = False
    beats: int = 0


class ThreadPool(SupervisedPool[ThreadWorker]):
    """Forty lines: jobs are functions of their worker, and a SystemExit is a death."""

    def __init__(self, count: int, deadline: float = 60.0, start: Any = None) -> None:
        self._begin: Callable[[ThreadWorker], Any] = start or (lambda worker: None)
        self.killed: list[ThreadWorker] = []
        self.stirred = threading.Event()
        super().__init__(count, deadline)

    def _start(self) -> ThreadWorker:
        worker = ThreadWorker()
        self._give(worker, self._begin)
        return worker

    def _give(self, worker: ThreadWorker, job: Any) -> None:
        threading.Thread(target=self._work, args=(worker, job), daemon=True).start()

    def _work(self, worker: ThreadWorker, job: Callable[[ThreadWorker], Any]) -> None:
        try:
            worker.said.put(job(worker))
        except SystemExit:
            worker.dead = True
        except Exception as error:
            worker.said.put(raised(error))
        self.stirred.set()

    def _wait(self) -> list[ThreadWorker]:
        self.stirred.wait(0.05)
        self.stirred.clear()
        return [worker for worker in self._workers if worker.dead or not worker.said.empty()]

    def _receive(self, worker: ThreadWorker) -> tuple[Any] | None:
        return None if worker.said.empty() else (worker.said.get(),)

    def _heartbeat_count(self, worker: ThreadWorker) -> int:
        return worker.beats

    def _loss(self, worker: ThreadWorker) -> Failure:
        return Failure(f"{worker} died", lost=True) if worker.dead else self._hung(worker)

    def _kill(self, worker: ThreadWorker) -> None:
        self.killed.append(worker)


def fail(worker: ThreadWorker) -> Any:
    raise ArithmeticError("the moon is in the way")


def no_memory(worker: ThreadWorker) -> Any:
    raise MemoryError("Unable to allocate 9 GiB")


def no_memory_of_torch(worker: ThreadWorker) -> Any:
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")


def no_memory_of_the_system(worker: ThreadWorker) -> Any:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def die(worker: ThreadWorker) -> Any:
    raise SystemExit


def hang(worker: ThreadWorker) -> Any:
    worker.beats += 1
    time.sleep(60)


def live_long(worker: ThreadWorker) -> str:
    for _ in range(10):
        worker.beats += 1
        time.sleep(0.1)
    return "old"


def once(fate: Callable[[ThreadWorker], Any]) -> Callable[[ThreadWorker], Any]:
    """A job that fails at its first try alone."""
    fates = [fate]
    return lambda worker: fates.pop()(worker) if fates else "done"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING)
    return lambda: [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("fate", "cause", "killed"),
    [
        (fail, "ArithmeticError: the moon is in the way", 0),
        (no_memory, "MemoryError: Unable to allocate 9 GiB", 1),
        (
            no_memory_of_torch,
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes",
            1,
        ),
        (no_memory_of_the_system, "OSError: [Errno 12] Cannot allocate memory", 1),
        (die, "a worker died", 1),
        (hang, "a worker gave no sign of life for 0.5 seconds and was killed", 1),
    ],
)
def test_a_job_that_fails_once_is_done_again(
    fate: Any, cause: str, killed: int, warnings: Callable[[], list[str]]
) -> None:
    pool = ThreadPool(2, deadline=0.5)
    assert dict(pool.map([once(fate), lambda worker: "b"])) == {0: "done", 1: "b"}
    assert warnings() == [f"job 1 of 2: {cause}; it is done again"]
    assert len(pool.killed) == killed and pool.setbacks == 1 and pool.size == 2


@pytest.mark.parametrize(("fate", "tried"), [(fail, 3), (hang, 2), (die, 6), (no_memory, 6)])
def test_a_job_that_always_fails_is_given_up_and_the_others_are_done(fate: Any, tried: int) -> None:
    pool = ThreadPool(1, deadline=0.2)
    outcomes = dict(pool.attempt([fate, lambda worker: "b"]))
    assert isinstance(outcomes[0], Failure) and outcomes[0].tried == tried
    assert outcomes[1] == "b" and pool.setbacks == tried


def test_a_worker_that_gives_signs_of_life_may_take_its_time() -> None:
    pool = ThreadPool(1, deadline=0.5)
    assert dict(pool.map([live_long])) == {0: "old"}
    assert pool.setbacks == 0 and not pool.killed


def test_an_answer_of_nothing_is_an_answer() -> None:
    pool = ThreadPool(1)
    assert not pool.warm
    assert dict(pool.map([lambda worker: None])) == {0: None} and pool.warm


def test_a_worker_that_starts_or_builds_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "DEADLINE", 5.0)
    pool = ThreadPool(1, deadline=0.1, start=lambda worker: time.sleep(0.4))
    assert dict(pool.map([lambda worker: time.sleep(0.4)])) == {0: None} and not pool.killed
    monkeypatch.setattr(supervision, "DEADLINE", 0.2)
    pool = ThreadPool(1, deadline=0.1, start=once(lambda worker: time.sleep(0.6)))
    assert dict(pool.map([lambda worker: "done"])) == {0: "done"} and len(pool.killed) == 1


def test_workers_that_never_start_end_the_run(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(supervision, "LOST_AT_START", 2)
    sentence = "workers are lost while they start, 4 in a row; the last: a worker died"
    with pytest.raises(WorkerError, match=f"^{sentence}$"):
        list(ThreadPool(2, start=die).map([lambda worker: "never"]))
    assert warnings() == ["a worker died; another takes its place"] * 3


def test_a_lost_idle_worker_costs_no_job_a_try(warnings: Callable[[], list[str]]) -> None:
    pool = ThreadPool(2)
    while not pool.warm:
        list(pool.map([lambda worker: time.sleep(0.1)] * 2))
    pool._workers[1].dead = True
    assert dict(pool.map([lambda worker: time.sleep(0.2)])) == {0: None}
    assert pool.setbacks == 0 and warnings() == ["a worker died; another takes its place"]


def test_who_works_for_an_attempt_that_was_broken_off_is_replaced() -> None:
    pool = ThreadPool(2)
    jobs = [lambda worker: "soon", hang]
    assert next(iter(pool.attempt(jobs))) == (0, "soon")
    busy = [worker for worker in pool._workers if worker.job is not None]
    assert dict(pool.map([lambda worker: "later"] * 2)) == {0: "later", 1: "later"}
    assert pool.killed == busy


def test_a_closed_pool_has_killed_all() -> None:
    with ThreadPool(3) as pool:
        workers = list(pool._workers)
    assert pool.killed == workers
