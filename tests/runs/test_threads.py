"""Threads follow from the run, for torch and for numpy alike."""

import os
import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from world_models.runs.threads import one_thread, use_threads

PRODUCT = """
import numpy as np
from world_models.runs.threads import use_threads
use_threads(1)
numbers = np.random.default_rng(0).standard_normal((257, 193))
print((numbers.T @ numbers).tobytes().hex()[-4096:])
print(np.linalg.solve(numbers[:193], numbers[:193] @ numbers[0]).tobytes().hex())
"""


def of_numpy() -> set[int]:
    parts = [part for part in threadpool_info() if "numpy" in part["filepath"]]
    return {part["num_threads"] for part in parts if part["user_api"] == "blas"}


@pytest.mark.parametrize("count", [1, 2])
def test_torch_and_numpy_compute_with_as_many_as_are_asked_for(count: int) -> None:
    use_threads(count)
    assert (torch.get_num_threads(), of_numpy()) == (count, {count})
    with one_thread():
        assert (torch.get_num_threads(), of_numpy()) == (1, {1})
    assert (torch.get_num_threads(), of_numpy()) == (count, {count})


@pytest.mark.slow
def test_a_variable_of_the_environment_changes_no_bit() -> None:
    given = [{}, {"OMP_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}]
    found = [
        subprocess.check_output([sys.executable, "-c", PRODUCT], env={**os.environ, **more})
        for more in given
    ]
    assert found[0] == found[1] == found[2]
