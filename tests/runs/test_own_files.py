"""A run touches only what it wrote: no file of the user's, and nothing beyond its folder."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from world_models.main import main
from world_models.report.report import write_report
from world_models.runs.files import plain_name, read_json, remove_leftovers
from world_models.runs.folder import open_lock, require_own_files
from world_models.runs.metrics import MetricsLog, Tables, read_csv
from world_models.runs.past import PastRun

NOTES = "when,what\n2026-11-20,bought milk\n"


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    """A run of M that was interrupted after its last checkpoint."""
    path = tmp_path / "pipeline" / "mdrnn"
    shutil.copytree(finished, path.parent)
    manifest = read_json(path / "manifest.json")
    (path / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    return path


def tables_of(run: Path) -> dict[str, bytes]:
    """The tables that a run writes, seconds left out."""
    others = ("timing.csv", "notes.csv")
    return {path.name: path.read_bytes() for path in run.glob("*.csv") if path.name not in others}


def test_a_table_of_the_users_outlives_a_resumption(run: Path) -> None:
    (run / "notes.csv").write_text(NOTES)
    (run / ".notes.tmp").write_text("mine")
    before = tables_of(run)
    assert main([f"resume={run}"]) == 0
    assert (run / "notes.csv").read_text() == NOTES
    assert (run / ".notes.tmp").read_text() == "mine"
    assert tables_of(run) == before
    assert PastRun(run).status == "finished"
    tables = read_json(run / "manifest.json")["tables"]
    assert {"val_metrics", "timing"} <= set(tables) and "notes" not in tables


def test_a_run_of_an_earlier_version_is_resumed(run: Path) -> None:
    manifest = read_json(run / "manifest.json")
    del manifest["tables"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "checkpoints/last.pt").unlink()
    (run / "notes.csv").write_text(NOTES)
    before = tables_of(run)
    assert main([f"resume={run}"]) == 0
    assert tables_of(run) == before
    assert (run / "notes.csv").read_text() == NOTES


def test_what_was_begun_after_the_checkpoint_is_emptied(tmp_path: Path) -> None:
    tables = Tables(["quarantine", "metrics"], noted=True)
    (tmp_path / "quarantine.csv").write_text("episode\n1\n")
    (tmp_path / "notes.csv").write_text(NOTES)
    MetricsLog(tmp_path, {}, tables=tables)
    assert (tmp_path / "quarantine.csv").read_text() == ""
    assert (tmp_path / "notes.csv").read_text() == NOTES


@pytest.mark.parametrize("noted", [True, False])
def test_a_file_in_the_way_of_a_table_is_kept(tmp_path: Path, noted: bool) -> None:
    (tmp_path / "metrics.csv").write_text(NOTES)
    log = MetricsLog(tmp_path, tables=Tables([], noted))
    with pytest.raises(ValueError, match=r"metrics\.csv is none of this run's files.*move it away"):
        log.write("metrics", {"step": 1})
    assert (tmp_path / "metrics.csv").read_text() == NOTES


def test_a_table_is_noted_before_it_is_begun(tmp_path: Path) -> None:
    seen: list[bool] = []
    names: list[str] = []
    save = lambda: seen.append((tmp_path / "metrics.csv").exists())  # noqa: E731
    log = MetricsLog(tmp_path, tables=Tables(names, True, save))
    log.write("metrics", {"step": 1})
    log.write("metrics", {"step": 2})
    assert seen == [False] and names == ["metrics"]
    again = MetricsLog(tmp_path, tables=Tables(names, True))
    again.write("metrics", {"step": 3})
    assert read_csv(tmp_path / "metrics.csv") == [{"step": "3"}]


BAD_NAMES = ["../outside", "/tmp/outside", "..", ".", "", "a/b", "a\\b", "a\0b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_stored_names_of_tables_are_plain(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "outside.csv").write_text(NOTES)
    for offsets, names in (({name: 0}, []), ({}, [name])):
        with pytest.raises(ValueError, match="no plain name"):
            MetricsLog(folder, offsets, tables=Tables(names, noted=True))
    assert (tmp_path / "outside.csv").read_text() == NOTES


@pytest.mark.parametrize("name", [*BAD_NAMES, 3, None, ["a"]])
def test_stored_names_of_parts_are_plain(tmp_path: Path, name: object) -> None:
    with pytest.raises(ValueError, match="no plain name"):
        plain_name(name, tmp_path)
    ended = {"status": "finished", "created": "2026-01-01T00:00:00", "env": {"id": "A"}}
    manifest = {"stage": "pipeline", **ended, "parts": [{"folder": name, "stage": "vae"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    said = r"manifest\.json (names|is damaged: parts\[0\]\.folder)"
    with pytest.raises(ValueError, match=said):
        _ = PastRun(tmp_path).parts


def linked(name: str) -> Callable[[Path, Path], None]:
    """Puts a link to a file outside in the place of one of the run's."""

    def make(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / "file")

    return make


def linked_folder(run: Path, outside: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").symlink_to(outside)


def pipe(run: Path, outside: Path) -> None:
    (run / "log.txt").unlink()
    os.mkfifo(run / "log.txt")


LINKS = [
    "metrics.csv",
    "mine.csv",
    ".lock",
    "log.txt",
    "config.yaml",
    "images/x.png",
    "report.html",
]


@pytest.mark.parametrize(
    "spoil", [*map(linked, LINKS), linked_folder, pipe], ids=[*LINKS, "checkpoints", "pipe"]
)
def test_links_out_of_a_run_are_not_followed(
    run: Path, tmp_path: Path, spoil: Callable[[Path, Path], None], capsys: pytest.CaptureFixture
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    content = (run / "config.yaml").read_text()
    (outside / "file").write_text(content)
    spoil(run, outside)
    before = (run / "manifest.json").read_bytes()
    assert main([f"resume={run}"]) == 1
    error = capsys.readouterr().err
    assert "is a link or no file at all" in error and error.count("error: ") == 1
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == content
    assert (run / "manifest.json").read_bytes() == before


def test_a_part_that_is_a_link_is_read_and_not_written(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "pipeline")
    elsewhere = shutil.move(tmp_path / "pipeline/evaluate", tmp_path / "elsewhere")
    (tmp_path / "pipeline/evaluate").symlink_to(elsewhere)
    assert main([f"resume={tmp_path / 'pipeline'}"]) == 0
    manifest = read_json(elsewhere / "manifest.json") | {"status": "interrupted"}
    (elsewhere / "manifest.json").write_text(json.dumps(manifest))
    before = (elsewhere / "manifest.json").read_bytes()
    assert main([f"resume={tmp_path / 'pipeline'}"]) == 1
    assert "evaluate is a link to another run, which is not finished" in capsys.readouterr().err
    assert (elsewhere / "manifest.json").read_bytes() == before


def test_links_of_wandb_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/latest-run").symlink_to(tmp_path)
    require_own_files(tmp_path)
    (tmp_path / "deeper/wandb").mkdir(parents=True)
    (tmp_path / "deeper/wandb/x").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="deeper/wandb/x is a link"):
        require_own_files(tmp_path)


def test_a_lock_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "file")
    with pytest.raises(ValueError, match=r"\.lock is a link"), open_lock(tmp_path / ".lock"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_leftovers_are_known_by_their_names(tmp_path: Path) -> None:
    for name in (".best.pt.123.tmp", ".mine.tmp", ".123.tmp", "best.pt.123.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {".mine.tmp", ".123.tmp", "best.pt.123.tmp"}


def test_links_do_not_go_into_the_page(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET: 1234")
    (tmp_path / "album").mkdir()
    (tmp_path / "album/y.png").write_bytes(b"SECRET: 1234")
    for name in ("config.yaml", "images/x.png", "val_metrics.csv"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(secret)
    shutil.rmtree(run / "videos", ignore_errors=True)
    (run / "videos").symlink_to(tmp_path / "album")
    (tmp_path / "album/z.mp4").write_bytes(b"SECRET: 1234")
    page = write_report(run).read_text()
    assert "SECRET" not in page and "U0VDUkVU" not in page
