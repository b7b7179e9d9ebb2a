"""Freed memory is kept: what is allocated again costs no page of its own."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import small

from world_models.cli import following, launch
from world_models.main import main
from world_models.runs import ranks
from world_models.runs.device import Device
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


@pytest.mark.slow
def test_what_the_environment_chooses_stays() -> None:
    assert found(MALLOC_ARENA_MAX="4")[0] == "False"
    assert found(GLIBC_TUNABLES="glibc.malloc.arena_max=4")[0] == "False"


def test_a_run_keeps_what_it_frees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the other processes that share out its training."""
    asked: list[str] = []
    monkeypatch.setattr(launch, "keep_freed", lambda: asked.append("first"))
    assert main(small("rollout", f"outputs={tmp_path}")) == 0
    monkeypatch.setattr(following, "keep_freed", lambda: asked.append("other"))
    monkeypatch.setattr(ranks, "join", lambda device: None)
    config = SimpleNamespace(device=Device.cpu, threads=1, stage=None)
    stage = SimpleNamespace(name="toy", execute=lambda cfg, run: asked.append("execute"))
    following._execute(stage, config, None)
    assert asked == ["first", "other", "execute"]
