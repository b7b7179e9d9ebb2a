"""What the workers of test_workers.py do; in a file of its
own so that spawned processes can import it.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch

from world_models.agents.rollout import Score
from world_models.pools.pool import heartbeat
from world_models.search.fitness import Block


def build_doubler(folder: Path) -> Callable[[int], int]:
    """Doubles a number, and leaves a file that says in which process models were built."""
    (folder / f"built-{os.getpid()}").touch()
    return lambda value: 2 * value


def build_faulty(folder: Path) -> Callable[[str], str]:
    """Does what the job says, but only the first time that it is asked;
    leaves a file for each time it was built.
    """
    (folder / f"built-{os.getpid()}-{time.monotonic_ns()}").touch()

    def do(job: str) -> str:
        first = not (folder / job).exists()
        (folder / job).touch()
        if job == "raise":
            raise ArithmeticError("the moon is in the way")
        if job == "stumble" and first:
            raise ArithmeticError("a stone")
        if job.strip() == "slow":
            for _ in range(26):
                time.sleep(0.45)
                heartbeat()
        if job == "always die" or (job == "die" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if job == "hang" and first:
            time.sleep(600)
        return f"{job} done"

    return do


def build_slowly() -> Callable[[int], int]:
    """Doubles a number, once it has been built for three seconds."""
    time.sleep(3)
    return lambda value: 2 * value


def build_thread_counter() -> Callable[[None], int]:
    """Tells torch's threads."""
    return lambda job: torch.get_num_threads()


def build_pid() -> Callable[[None], int]:
    """Tells its process."""
    return lambda job: os.getpid()


def build_hanging(folder: Path, bad: list[int]) -> Callable[[Block], list[Score]]:
    """Plays blocks in no time, but hangs on the tracks `bad`;
    leaves a file for each time that it did.
    """

    def play_block(block: Block) -> list[Score]:
        for seed in block.seeds:
            if seed in bad:
                (folder / f"hung-{time.monotonic_ns()}").touch()
                time.sleep(600)
        assert block.vectors is not None
        return [
            Score(seed, float(row[0]), 1)
            for row, seed in zip(block.vectors, block.seeds, strict=True)
        ]

    return play_block


def build_sleeper(folder: Path) -> Callable[[float], None]:
    """Says that it works, then sleeps."""

    def sleep(seconds: float) -> None:
        (folder / f"working-{os.getpid()}").touch()
        time.sleep(seconds)

    return sleep
