"""Odd working folders, paths and streams: one sentence each, and nothing written."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from world_models.main import main
from world_models.runs import past
from world_models.runs.folder import new_folder

ROLLOUT = ["stage=rollout", "env=pellet", "threads=1"]


def told(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ")
    return error


def test_texts_of_modules_are_there() -> None:
    """`python -OO` takes them away, and cma needs its own."""
    command = [sys.executable, "-OO", "-m", "world_models.main", "stage=runs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: python -OO (PYTHONOPTIMIZE=2) strips texts that cma needs: use -O\n"
    )


def test_a_working_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for arguments in (["stage=runs"], ROLLOUT, ["resume=."]):
        assert "the working folder is gone: cd to one" in told(capsys, arguments)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([*ROLLOUT, "outputs="], "outputs is empty: give a path, or leave the key out"),
        (["stage=vae", "env=pellet", "upstream="], "upstream is empty"),
        ([*ROLLOUT, "outputs=a\udcffb"], "outputs='a\\udcffb' holds bytes that are no text"),
        ([*ROLLOUT, "outputs=a\0b"], "outputs='a\\x00b' holds bytes that are no text"),
        (["resume="], "resume= names no folder"),
        (["stage=vae", "env=pellet", "upstream=file"], "upstream=file is no folder"),
        (["stage=vae", "env=pellet", "upstream=none"], "upstream=none does not exist"),
        ([*ROLLOUT, "outputs=file"], "Not a directory; choose another folder with outputs="),
        ([*ROLLOUT, "outputs=nowhere"], "or a link to nothing, is in the way"),
        ([*ROLLOUT, f"outputs={'x' * 300}"], "File name too long; choose another folder"),
    ],
)
def test_paths_that_cannot_be(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("nowhere").symlink_to("/no/such/folder")
    assert sentence in told(capsys, arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "nowhere"]


def test_a_stream_that_lacks_letters_shows_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["stage=runs", f"outputs={tmp_path / 'Größe'}"]) == 0
    sys.stdout.flush()
    assert b"no runs in" in shown.getvalue() and b"Gr\\xf6\\xdfe" in shown.getvalue()


def test_only_run_folders_are_asked_for_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`outputs` may be a folder with much else in it, or links to it."""
    monkeypatch.setattr(past.PastRun, "is_one", True)
    run = new_folder(tmp_path / "env/day", "time")
    for folder in (run, new_folder(run / "vae", "deep"), new_folder(tmp_path / ".x/day", "time")):
        (folder / "manifest.json").touch()
    assert [found.path for found in past.top_runs(tmp_path)] == [run]
