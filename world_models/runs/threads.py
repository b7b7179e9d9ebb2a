"""How many threads compute: torch's, and those of numpy's linear algebra.

Another number gives other last bits, so both follow from the run, and not from OMP_NUM_THREADS.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache

import numpy  # noqa: F401  # its linear algebra must be loaded, to be found
import torch
from threadpoolctl import ThreadpoolController


def use_threads(count: int) -> None:
    """From now on, this process computes with so many."""
    torch.set_num_threads(count)
    _libraries().limit(limits=count, user_api="blas")


@contextlib.contextmanager
def computing_with(count: int) -> Iterator[None]:
    """Inside, this process computes with so many, and behind it with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _libraries().limit(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def one_thread() -> AbstractContextManager[None]:
    """Inside, this process computes as a worker does."""
    return computing_with(1)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
