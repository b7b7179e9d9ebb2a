"""Memory, GPU, screen and disk, beside what others say of them."""

import os
from pathlib import Path

import psutil
import pytest

from world_models.runs.machine import disk, gpus, memory, screen


def put_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_memory_is_what_psutil_says() -> None:
    room = memory()
    assert room is not None and room.all == psutil.virtual_memory().total
    assert 0 < room.free < room.all


def test_the_disk_is_that_of_the_folder_that_is_there(tmp_path: Path) -> None:
    room, stated = disk(tmp_path / "not/yet/made"), os.statvfs(tmp_path)
    assert room.all == stated.f_blocks * stated.f_frsize
    assert list(tmp_path.iterdir()) == []


def test_a_folder_inside_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        disk(tmp_path / "file/outputs")


def test_gpus_are_those_that_the_driver_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    assert gpus() == []
    put_program(tmp_path, "nvidia-smi", 'echo "GPU A, 10 MiB"\necho "GPU B, 20 MiB"')
    assert gpus() == ["GPU A, 10 MiB", "GPU B, 20 MiB"]


def test_a_driver_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    put_program(tmp_path, "nvidia-smi", "echo no device; exit 9")
    with pytest.raises(OSError, match="nvidia-smi fails: no device"):
        gpus()
    put_program(tmp_path, "nvidia-smi", "exit 9")
    with pytest.raises(OSError, match="nvidia-smi fails: it ends with status 9"):
        gpus()


def test_a_screen_is_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", "")
    assert screen() is None
    monkeypatch.setenv("DISPLAY", ":7")
    assert screen() == "DISPLAY=:7"
