"""The pool: right results in any order of finishing, whoever dies, and nobody left behind."""

import concurrent.futures
import multiprocessing.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from worker_jobs import (
    build_doubler,
    build_faulty,
    build_sleeper,
    build_slowly,
    build_thread_counter,
)

from world_models.pools.choose import open_pool
from world_models.pools.pool import Attempts, Failure, WorkerError
from world_models.pools.processes import WorkerPool
from world_models.runs.device import Workers
from world_models.runs.signals import interruptible


@pytest.mark.parametrize("workers", [0, 1, pytest.param(3, marks=pytest.mark.slow)])
def test_results_belong_to_their_jobs(workers: int, tmp_path: Path) -> None:
    with open_pool(Workers.local, workers, build_doubler, [tmp_path]) as pool:
        assert dict(pool.map(range(10))) == {index: 2 * index for index in range(10)}
        assert dict(pool.map([7])) == {0: 14}
    assert len(list(tmp_path.glob("built-*"))) <= max(workers, 1), (
        "models are built once per worker"
    )


def test_a_script_that_workers_would_run_again_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from world_models.main import main\n"
        "main(['stage=rollout', 'env=pellet', 'stage.workers=2', 'verbosity=quiet'])\n"
    )
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    words = 'put what the script does under if __name__ == "__main__":'
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("outputs/*/*/*/manifest.json"))) == 1


@pytest.mark.slow
def test_a_worker_that_is_being_started_says_nothing_of_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C reaches another thread after the process is there and before it has its arguments."""
    started = threading.Event()
    typed = threading.Event()
    pids: list[int] = []
    spawn = multiprocessing.util.spawnv_passfds

    def type_ctrl_c() -> None:
        started.wait()
        os.kill(os.getpid(), signal.SIGINT)
        typed.set()

    def spawn_then_interrupt(*args: Any) -> int:
        pid: int = spawn(*args)
        # not that of what multiprocessing starts to keep count
        if "spawn_main" in str(args):
            pids.append(pid)
            started.set()
            typed.wait()
        return pid

    typist = threading.Thread(target=type_ctrl_c)
    typist.start()
    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", spawn_then_interrupt)
    with pytest.raises(KeyboardInterrupt), interruptible():
        WorkerPool(1, build_doubler, [])
    typist.join()
    psutil.wait_procs([psutil.Process(pids[0])], timeout=60)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_have_one_torch_thread(workers: int) -> None:
    with open_pool(Workers.local, workers, build_thread_counter, []) as pool:
        assert dict(pool.map([None] * 3)) == {0: 1, 1: 1, 2: 1}


def test_there_are_never_more_workers_than_wanted() -> None:
    with open_pool(Workers.local, -1, build_thread_counter, [], most=1) as pool:
        assert pool.size == 1 and isinstance(pool, WorkerPool)


def test_a_dead_worker_is_replaced_and_its_job_redone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerPool(2, build_faulty, [tmp_path]) as pool:
        before = set(pool.pids)
        results = dict(pool.map(["a", "die", "b", "c"]))
        assert set(pool.pids) != before
    assert results == {0: "a done", 1: "die done", 2: "b done", 3: "c done"}
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert re.fullmatch(
        r"job 2 of 4: worker \d+ was killed by signal 9, .* memory runs out; it is done again", line
    )


@pytest.mark.slow
def test_a_worker_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    with WorkerPool(2, build_doubler, [tmp_path]) as pool:
        list(pool.map(range(4)))
        for pid in pool.pids:
            psutil.Process(pid).kill()
        assert dict(pool.map(range(4))) == {index: 2 * index for index in range(4)}


@pytest.mark.slow
def test_a_silent_worker_is_replaced_and_a_slow_one_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerPool(2, build_faulty, [tmp_path], deadline=10.0) as pool:
        assert dict(pool.map(["hang", "slow"])) == {0: "hang done", 1: "slow done"}
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert re.search(
        (
            "job 1 of 2: worker .* gave no sign of life for 10 seconds and was killed; it is done "
            "again"
        ),
        line,
    )


@pytest.mark.slow
def test_building_may_take_longer_than_a_step() -> None:
    with WorkerPool(1, build_slowly, [], deadline=1.0) as pool:
        assert dict(pool.map([1, 2])) == {0: 2, 1: 4} and pool.setbacks == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_a_job_that_raises_is_tried_again_with_everything_built_anew(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pool(Workers.local, workers, build_faulty, [tmp_path]) as pool:
        assert dict(pool.map(["stumble", "a"])) == {0: "stumble done", 1: "a done"}
    assert "job 1 of 2: ArithmeticError: a stone; it is done again" in caplog.text
    assert len(list(tmp_path.glob("built-*"))) >= 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_job_that_always_raises_ends_the_run_and_its_traceback_is_in_the_log(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "world_models")
    with open_pool(Workers.local, workers, build_faulty, [tmp_path]) as pool:
        sentence = "job 2 of 2 failed 3 times: ArithmeticError: the moon is in the way"
        with pytest.raises(WorkerError, match=f"^{sentence}$"):
            list(pool.map(["a", "raise"]))
        pids = pool.pids if isinstance(pool, WorkerPool) else []
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert re.search(
        r"(?s)where it happened:.*in do\n.*ArithmeticError: the moon is in the way", caplog.text
    )


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_others_are_done_where_one_cannot_be(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pool(Workers.local, workers, build_faulty, [tmp_path]) as pool:
        outcomes = dict(pool.attempt(["a", "raise", "b"]))
    assert outcomes[0] == "a done" and outcomes[2] == "b done"
    assert (
        isinstance(outcomes[1], Failure)
        and outcomes[1].cause == "ArithmeticError: the moon is in the way"
    )
    assert caplog.text.count("it is done again") == 2 and caplog.text.count("it is given up") == 1


@pytest.mark.parametrize(
    "fates",
    ["rrr", "hh", "rhr", "hrh", "llllll", "lrlrllr", "lhlllh", "rrllllll", "hlllllrl"],
)
def test_a_job_may_raise_three_times_hang_twice_and_lose_six_workers(fates: str) -> None:
    attempts = Attempts(["a"])
    failures = [Failure("no luck", hung=fate == "h", lost=fate == "l") for fate in fates]
    outcomes = [attempts.failed(attempts.next(), failure) for failure in failures]
    assert outcomes == [None] * (len(fates) - 1) + [replace(failures[-1], tried=len(fates))]
    assert not attempts.waiting and not attempts.missing


@pytest.mark.slow
def test_a_job_outlives_five_workers_that_others_kill(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        WorkerPool(1, build_sleeper, [tmp_path]) as pool,
        concurrent.futures.ThreadPoolExecutor() as beside,
    ):
        done = beside.submit(lambda: dict(pool.map([1.0])))
        for kills in range(1, 6):
            while len(list(tmp_path.glob("working-*"))) < kills:
                assert not done.done()
                time.sleep(0.02)
            psutil.Process(pool.pids[0]).kill()
        assert done.result() == {0: None}
    assert caplog.text.count("it is done again") == 5


@pytest.mark.slow
def test_a_pool_is_warm_once_every_worker_has_done_a_job(tmp_path: Path) -> None:
    with WorkerPool(2, build_sleeper, [tmp_path]) as pool:
        assert dict(pool.map([0.0])) == {0: None} and not pool.warm
        deadline = time.monotonic() + 60
        while not pool.warm:
            assert time.monotonic() < deadline
            list(pool.map([0.1] * 4))
        assert len(list(tmp_path.glob("working-*"))) == 2


@pytest.mark.slow
def test_a_job_that_kills_every_worker_ends_the_run(tmp_path: Path) -> None:
    with (
        WorkerPool(1, build_faulty, [tmp_path]) as pool,
        pytest.raises(WorkerError, match=r"failed 6 times: .* signal 9"),
    ):
        list(pool.map(["always die"]))


MASTER = """
import sys
from collections.abc import Callable
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from worker_jobs import build_sleeper
from world_models.pools.processes import WorkerPool
if __name__ == "__main__":
    with WorkerPool(2, build_sleeper, [Path(sys.argv[1])]) as pool:
        list(pool.map([600.0, 600.0]))
"""


@pytest.mark.parametrize("signal", ["SIGKILL", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_no_worker_outlives_its_master(signal: str, tmp_path: Path) -> None:
    import signal as signals

    script = tmp_path / "master.py"
    script.write_text(MASTER)
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    master = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), *paths], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(list(tmp_path.glob("working-*"))) == 2)
    workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("working-*")]
    os.kill(master.pid, getattr(signals, signal))
    master.wait(timeout=30)
    wait_for(lambda: not any(alive(pid) for pid in workers))


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
