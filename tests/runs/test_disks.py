"""Disks that take no more, or keep no locks: one sentence, the right status, no leftovers."""

import errno
import fcntl
import io
import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from world_models.data.arrays import write_array
from world_models.figures.media import save_png, save_video
from world_models.runs.checkpoint import save_checkpoint
from world_models.runs.device import Device
from world_models.runs.files import read_json, write_json, write_text
from world_models.runs.folder import dated_folder, is_live, locked, wait_for_writer
from world_models.runs.locks import _warn
from world_models.runs.metrics import MetricsLog
from world_models.runs.run import Run

ROOM = 20_000


@pytest.fixture
def full() -> Iterator[None]:
    """No file grows beyond 20 kB, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def a_run(path: Path) -> Run:
    path.mkdir(exist_ok=True)
    manifest = {"stage": "toy", "inputs": [], "created": "2026-01-01T00:00:00+00:00"}
    return Run(path, 0, Device.cpu, "gymnasium", {}, manifest=manifest)


def checkpoint(run: Run) -> Path:
    weights = {"weight": torch.arange(10_000.0)}
    save_checkpoint(run.last, "toy", {"epoch": 0, "step": 1, "inputs": [], "model": weights})
    return run.last


def table(run: Run) -> Path:
    metrics = MetricsLog(run.path)
    for step in range(5_000):
        metrics.write("metrics", {"step": step})
    return run.path / "metrics.csv"


def scores(run: Run) -> Path:
    write_json(run.path / "scores.json", {"returns": list(range(10_000))})
    return run.path / "scores.json"


def shard(run: Run) -> Path:
    rows = torch.arange(10_000).numpy()
    write_array(run.path / "shard_00000_rewards.npy", rows.shape, rows.dtype, [rows])
    return run.path / "shard_00000_rewards.npy"


def picture(run: Run) -> Path:
    noise = torch.randint(0, 255, (200, 200, 3), dtype=torch.uint8).numpy()
    save_png(run.path / "images/strip.png", noise)
    return run.path / "images/strip.png"


def video(run: Run) -> Path:
    noise = torch.randint(0, 255, (20, 128, 128, 3), dtype=torch.uint8).numpy()
    save_video(run.path / "videos/best.mp4", noise)
    return run.path / "videos/best.mp4"


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("write", [checkpoint, table, scores, shard, picture, video])
def test_a_full_disk_is_told_in_a_sentence(write: Any, tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with pytest.raises(OSError, match="make room, then resume the run") as told, run.recording():
        write(run)
    sentence = str(told.value)
    assert sentence.startswith(str(tmp_path)) and sentence.count("\n") == 0
    assert Path(sentence.partition(" cannot be written: ")[0]).is_relative_to(tmp_path)
    manifest = read_json(tmp_path / "manifest.json")
    assert (manifest["status"], manifest["error"]) == ("failed", sentence)
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.usefixtures("full")
def test_a_log_that_is_full_says_nothing_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_run(tmp_path).recording():
        for _ in range(3_000):
            logging.getLogger("world_models").debug("a line of no great length")
    assert read_json(tmp_path / "manifest.json")["status"] == "finished"
    assert (tmp_path / "log.txt").stat().st_size <= ROOM
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_said_once_and_used(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", refused)
    _warn.cache_clear()
    with locked(tmp_path):
        assert not is_live(tmp_path)
        wait_for_writer(tmp_path)
    assert caplog.text.count("keeps no locks (not here)") == 1


def test_a_lock_that_fails_otherwise_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="broken"), locked(tmp_path):
        pass


@pytest.fixture(params=[errno.EROFS, errno.EACCES])
def closed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Nothing may be written, whoever runs the tests; the system's words for it."""
    reason, opened, low = os.strerror(request.param), io.open, os.open

    def refuse(path: Any) -> None:
        raise OSError(request.param, reason, str(path))

    def open_file(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        return opened(path, mode, *args, **options) if mode in ("r", "rb") else refuse(path)

    def open_low(path: Any, flags: int, *args: Any, **options: Any) -> Any:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return refuse(path) if writes else low(path, flags, *args, **options)

    monkeypatch.setattr(io, "open", open_file)
    monkeypatch.setattr(os, "open", open_low)
    # a disk that is read only says so of files that are not there, too
    monkeypatch.setattr(os, "unlink", lambda path, **options: refuse(path))
    monkeypatch.setattr(os, "mkdir", lambda path, *args, **options: refuse(path))
    return reason


def test_where_nothing_may_be_written_it_is_said(tmp_path: Path, closed: str) -> None:
    run = a_run_that_is_there(tmp_path)
    with pytest.raises(OSError, match=rf"scores.json cannot be written: {closed}; see to it"):
        scores(run)
    with pytest.raises(OSError, match=rf"metrics.csv cannot be written: {closed}; see to it"):
        table(run)
    with (
        pytest.raises(ValueError, match=f"cannot be written: {closed}; see to it"),
        run.recording(),
    ):
        raise AssertionError("it begins all the same")
    with pytest.raises(ValueError, match=f"cannot be made: {closed}; choose another folder"):
        dated_folder(tmp_path)


def a_run_that_is_there(path: Path) -> Run:
    return Run(path, 0, Device.cpu, "gymnasium", {}, manifest={"stage": "toy", "inputs": []})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "Is a directory"),
        ("file/a.json", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_name_that_no_file_can_have_here(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"{name} cannot be written: {words}; choose another name"):
        write_text(tmp_path / name, "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
