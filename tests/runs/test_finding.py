"""What is found below a folder: hidden names, links, and what is no plain file."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from world_models.runs.finding import find_files
from world_models.runs.past import all_runs


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def names(paths: list[Path], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_hidden_names_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "data"
    write(folder / "b/2", folder / "a", folder / "b/._2", folder / ".ipynb_checkpoints/2")
    found = find_files(folder)
    assert names(found.files, folder) == ["a", "b/2"], "a hidden folder above is no matter"
    assert names(found.left_out, folder) == [".ipynb_checkpoints", "b/._2"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "second_disk"
    write(folder / "c/own", elsewhere / "far", elsewhere / "one")
    (folder / "a").symlink_to(elsewhere)
    (folder / "b").symlink_to(elsewhere)
    (folder / "c/up").symlink_to(folder)
    (folder / "best").symlink_to(folder / "c")
    (folder / "file").symlink_to(elsewhere / "one")
    found = find_files(folder)
    assert names(found.files, folder) == ["a/far", "a/one", "c/own"]
    assert names(found.left_out, folder) == ["file"]


def test_what_holds_the_folder_is_not_walked(tmp_path: Path) -> None:
    folder = tmp_path / "user" / "outputs"
    write(folder / "run/own", tmp_path / "user/mine", tmp_path / "other")
    (folder / "home").symlink_to(tmp_path / "user")
    (folder / "run/disk").symlink_to(tmp_path)
    (folder / "run/root").symlink_to("/")
    (folder / "run/loop").symlink_to(folder / "run/loop")
    found = find_files(folder)
    assert names(found.files, folder) == ["run/own"]
    assert names(found.left_out, folder) == ["run/loop"]


def test_links_inside_a_whole_folder_are_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    write(folder / "day/run/manifest.json", folder / "day/run/part/file", elsewhere / "file")
    write(tmp_path / "disk/other/manifest.json", tmp_path / "disk/file")
    for link in (folder / "day/run/out", folder / "day/run/part/out"):
        link.symlink_to(elsewhere)
    (folder / "linked day").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/other/out").symlink_to(elsewhere)
    expected = ["day/run/part/file", "linked day/file"]
    assert names(find_files(folder, "file", whole="manifest.json").files, folder) == expected
    assert len(find_files(folder, "file").files) == 3


def test_hidden_folders_are_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".git/objects/file", tmp_path / "open/file")
    opened, scandir = list[str](), os.scandir

    def noted(path: str) -> Iterator[os.DirEntry[str]]:
        opened.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    found = find_files(tmp_path)
    assert names(found.files, tmp_path) == ["open/file"]
    assert opened == [str(tmp_path), str(tmp_path / "open")]


def test_a_folder_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "closed/file", tmp_path / "open/file")
    scandir = os.scandir

    def refusing(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    # whoever runs the tests may read everything
    monkeypatch.setattr(os, "scandir", refusing)
    found = find_files(tmp_path)
    assert names(found.files, tmp_path) == ["open/file"]
    assert names(found.left_out, tmp_path) == ["closed"]
    assert f"{tmp_path / 'closed'} is left out: Permission denied" in caplog.text


def test_only_plain_files_are_found(tmp_path: Path) -> None:
    write(tmp_path / "x.npz", tmp_path / "y.txt")
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")
    found = find_files(tmp_path, "*.npz")
    assert names(found.files, tmp_path) == ["x.npz"]
    assert names(found.left_out, tmp_path) == ["gone.npz", "pipe.npz"]


def test_runs_are_found_in_linked_folders(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    for name, hour in (("outputs/Env/day2", 2), ("disk/day1", 1), ("outputs/.old", 0)):
        write(tmp_path / name / "run/manifest.json")
        manifest = {"stage": "vae", "status": "finished", "env": {"id": "Env"}}
        content = json.dumps({**manifest, "created": f"2026-01-01T0{hour}:00:00"})
        (tmp_path / name / "run/manifest.json").write_text(content)
    (outputs / "Env/day1").symlink_to(tmp_path / "disk/day1")
    (outputs / "Env/latest").symlink_to(outputs / "Env/day2/run")
    assert [run.path for run in all_runs(outputs)] == [
        outputs / "Env/day1/run",
        outputs / "Env/day2/run",
    ]
