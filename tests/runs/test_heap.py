"""Freed memory is kept: what is allocated again costs no page of its own."""

import os
import platform
import subprocess
import sys

import pytest

from world_models.runs.heap import CHOICES

AGAIN = """
import resource
import torch
from world_models.runs.heap import keep_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

print(keep_freed())
for _ in range(3):
    torch.ones(1 << 24)
before = faults()
for _ in range(5):
    torch.ones(1 << 24)
print(faults() - before)
"""
PAGES = (1 << 26) // os.sysconf("SC_PAGE_SIZE")


def found(**variables: str) -> tuple[str, int]:
    """Whether it is kept, and faults of pages while 64 MB are allocated five times again."""
    chosen = {name: value for name, value in os.environ.items() if not name.startswith(CHOICES)}
    env = {**chosen, **variables}
    program = [sys.executable, "-c", AGAIN]
    said = subprocess.run(program, env=env, capture_output=True, text=True, check=True).stdout
    kept, faults = said.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_was_freed_is_used_again() -> None:
    kept, faults = found()
    assert kept == "True" and faults < PAGES


def test_what_the_environment_chooses_stays() -> None:
    assert found(MALLOC_ARENA_MAX="4")[0] == "False"
    assert found(GLIBC_TUNABLES="glibc.malloc.arena_max=4")[0] == "False"
