"""Ctrl-C and SIGTERM, aimed at writes and at code that swallows them: a run ends as interrupted."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from world_models.pools.pool import InProcessPool
from world_models.runs import checkpoint
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.device import Device
from world_models.runs.files import read_json, replacing, write_text
from world_models.runs.metrics import MetricsLog, read_csv
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.runs.signals import check, interruptible, whole_write

BOTH = pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Tests may run in the background, where Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def a_run(path: Path) -> Run:
    path.mkdir(exist_ok=True)
    manifest = {"stage": "toy", "inputs": [], "created": "2026-01-01T00:00:00+00:00"}
    return Run(path, 0, Device.cpu, "gymnasium", {}, manifest=manifest)


def swallowing(which: signal.Signals) -> None:
    """What C libraries do with a KeyboardInterrupt in a callback."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(which)


def turning(which: signal.Signals) -> None:
    try:
        signal.raise_signal(which)
    except KeyboardInterrupt:
        raise RuntimeError("inline_container.cc:672: unexpected pos") from None


def status_after(path: Path, work: Callable[[Run], Any]) -> str:
    run = a_run(path)
    with pytest.raises(KeyboardInterrupt), run.recording():
        work(run)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not list(path.rglob(".*.tmp"))
    return str(read_json(path / "manifest.json")["status"])


@BOTH
@pytest.mark.parametrize("way", [signal.raise_signal, swallowing, turning])
def test_a_signal_in_a_checkpoint_comes_after_it(
    way: Callable[[signal.Signals], None],
    which: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The writer is torch's own; each of its writes is met."""

    def met(content: Any, file: Any) -> None:
        class Slow:
            def write(self, data: Any) -> int:
                way(which)
                return int(file.write(data))

            def flush(self) -> None:
                file.flush()

        save(content, Slow())

    save = torch.save
    monkeypatch.setattr(checkpoint.torch, "save", met)
    content = {"epoch": 0, "step": 4, "inputs": [], "model": {"weight": torch.arange(3.0)}}

    def work(run: Run) -> None:
        monkeypatch.setattr("world_models.runs.signals._State.typed", -10_000)
        save_checkpoint(run.last, "toy", content)
        raise AssertionError("went on")

    assert status_after(tmp_path, work) == "interrupted"
    assert load_checkpoint(tmp_path / "checkpoints/last.pt", "toy")["step"] == 4


@BOTH
@pytest.mark.parametrize("way", [signal.raise_signal, swallowing, turning])
def test_whatever_meets_it_the_run_is_interrupted(
    way: Callable[[signal.Signals], None], which: signal.Signals, tmp_path: Path
) -> None:
    def file(run: Run) -> None:
        with replacing(run.path / "file") as opened:
            opened.write(b"half")
            way(which)

    def loop(run: Run) -> None:
        with ProgressBar("toy", 2) as bar:
            way(which)
            bar.advance()
            raise AssertionError("went on")

    def row(run: Run) -> None:
        log = MetricsLog(run.path)
        with whole_write():
            way(which)
            log.write("metrics", {"step": 1})

    def job(run: Run) -> None:
        pool = InProcessPool(lambda: lambda job: way(which), ())
        for _ in pool.attempt([0, 1]):
            check()

    def ends(run: Run) -> None:
        way(which)

    for number, work in enumerate((file, loop, row, job, ends)):
        assert status_after(tmp_path / f"{number}", work) == "interrupted", work
    if way is not turning:
        assert [line["step"] for line in read_csv(tmp_path / "2/metrics.csv")] == ["1"]


def test_nested_runs_are_all_interrupted_and_cleaned_up(tmp_path: Path) -> None:
    whole, part = a_run(tmp_path), a_run(tmp_path / "part")
    with pytest.raises(KeyboardInterrupt), whole.recording():
        try:
            with part.recording():
                swallowing(signal.SIGTERM)
        finally:
            write_text(tmp_path / "report.html", "page")
    assert (tmp_path / "report.html").read_text() == "page"
    statuses = [read_json(path / "manifest.json")["status"] for path in (tmp_path, part.path)]
    assert statuses == ["interrupted"] * 2


def test_an_error_without_a_signal_is_a_failure(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with pytest.raises(RuntimeError, match="unexpected pos"), run.recording():
        raise RuntimeError("unexpected pos")
    assert read_json(tmp_path / "manifest.json")["status"] == "failed"
    with run.recording():
        check()
    assert read_json(tmp_path / "manifest.json")["status"] == "finished"


def test_a_signal_of_an_earlier_region_is_forgotten() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        swallowing(signal.SIGINT)
    with interruptible():
        check()


@BOTH
def test_what_is_ignored_stays_so(which: signal.Signals) -> None:
    before = signal.signal(which, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(which)
            check()
        assert signal.getsignal(which) is signal.SIG_IGN
    finally:
        signal.signal(which, before)


TWICE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from world_models.runs.signals import interruptible, whole_write
with interruptible(), whole_write():
    print("ready", flush=True)
    for _ in range(600):
        time.sleep(0.1)
"""


def test_a_second_ctrl_c_ends_at_once() -> None:
    process = subprocess.Popen([sys.executable, "-c", TWICE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT


def test_closed_streams_close_no_file_and_end_no_command(tmp_path: Path) -> None:
    command = f"{sys.executable} -m world_models.main stage=runs outputs={tmp_path} 2>&- <&-"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["sh", "-c", command], env=environment, stdout=subprocess.PIPE, text=True, timeout=120
    )
    assert done.returncode == 0 and "no runs in" in done.stdout
