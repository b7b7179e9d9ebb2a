"""Moments of runs: in UTC with their zone, in an order that no clock that is set back changes."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from world_models.chains.upstream import latest as latest_run
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.runs.past import PastRun, all_runs, time_after
from world_models.runs.times import latest, moment, now

ENV = EnvSpec(
    "A", {}, Preprocessing((0, 0, 0, 0), 64, False), 1, ActionSpace("discrete", 2, (), (), ()), 20
)


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York", "NoSuch/Zone", ""])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A time zone of this machine."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def write_run(path: Path, created: object, ended: object) -> None:
    path.mkdir(parents=True)
    facts = {"stage": "vae", "status": "finished", "env": ENV.to_dict(), "experiment": None}
    (path / "manifest.json").write_text(json.dumps({**facts, "created": created, "ended": ended}))


def test_now_is_utc_in_every_zone(zone: str) -> None:
    assert now().endswith("+00:00") and len(now()) == 32
    assert abs(datetime.now(UTC) - moment(now())) < timedelta(seconds=1)


def test_what_was_written_before_is_local_time(zone: str) -> None:
    local = datetime(2026, 7, 1, 12, 30)
    assert moment(local.isoformat()).timestamp() == local.timestamp()
    assert latest("2026-07-01T23:00:00+09:00", "2026-07-01T13:59:59+00:00").endswith("+09:00")
    for odd in (None, 5, "", "yesterday", "0001-01-01T00:00:00"):
        assert latest("1970-01-01T00:00:00+00:00", odd) == "1970-01-01T00:00:00+00:00"


def test_the_newest_run_is_so_across_zones(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "2026-07-01T09:00:00+09:00", "2026-07-01T09:30:00+09:00")
    write_run(tmp_path / "b", "2026-07-01T01:00:00+00:00", "2026-07-01T02:00:00+00:00")
    write_run(tmp_path / "c", "2026-06-30T23:00:00-04:00", "2026-06-30T23:10:00-04:00")
    assert [run.path.name for run in all_runs(tmp_path)] == ["a", "b", "c"]
    before = {"a": "2026-07-01T00:30:00+00:00", "b": "2026-07-01T04:00:00+02:00"}
    for name, end in before.items():
        found = latest_run(tmp_path, "vae", ENV, None, before=end)
        assert found is not None and found.path.name == name


def test_a_clock_that_was_set_back_makes_no_older_run_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "old", "2026-01-01T10:00:00+00:00", "2999-01-01T11:00:00+00:00")
    start = time_after(all_runs(tmp_path))
    assert start == "2999-01-01T11:00:00+00:00"
    assert "the clock stands at" in caplog.text and "old" in caplog.text
    write_run(tmp_path / "new", start, latest(now(), start))
    found = latest_run(tmp_path, "vae", ENV, None, before=time_after(all_runs(tmp_path)))
    assert found is not None and found.path.name == "new"


def test_a_clock_that_is_right_is_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "old", "2026-01-01T10:00:00", None)
    write_run(tmp_path / "odd", "yesterday", None)
    assert abs(moment(time_after(all_runs(tmp_path))) - moment(now())) < timedelta(seconds=5)
    assert not caplog.text
    assert PastRun(tmp_path / "odd").is_one
