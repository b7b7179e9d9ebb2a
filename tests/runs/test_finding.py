"""What is found below a folder: hidden names, links, and what is no plain file."""

import json
import os
from pathlib import Path

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
    assert names(found.left_out, folder) == [".ipynb_checkpoints/2", "b/._2"]


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
