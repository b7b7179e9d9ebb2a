"""Stage convert on folders as people really have them: bad files, hidden files, links."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import newest

from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json

STEPS = 3
EXTRA = 25


def write_rollout(path: Path, number: int, **changes: Any) -> None:
    """One file in ctallec's layout, for Pellet: every frame shows the number of the episode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "observations": np.full((STEPS, 64, 64, 3), number, np.uint8),
        "actions": np.arange(STEPS),
        "rewards": np.zeros(STEPS),
        "terminals": np.arange(STEPS) == STEPS - 1,
    }
    np.savez(path, **{**content, **changes})


def write_folder(folder: Path, numbers: list[int]) -> Path:
    for number in numbers:
        write_rollout(folder / "thread_0" / f"rollout_{number:02d}.npz", number)
    return folder


def convert(source: Path, outputs: Path, *more: str) -> int:
    keys = [f"stage.source={source}", f"outputs={outputs}", "stage.shard_size=2", "threads=1"]
    return main(["stage=convert", "env=pellet", "stage.alignment=pre", *keys, *more])


def store(outputs: Path) -> EpisodeStore:
    return EpisodeStore.open(newest(outputs) / "episodes")


def numbers(outputs: Path) -> list[int]:
    found = store(outputs)
    return [int(found.episode(row).frames[0, 0, 0, 0]) for row in found.rows]


def said(outputs: Path) -> str:
    return (newest(outputs) / "log.txt").read_text()


def test_hidden_files_are_skipped_and_linked_folders_read(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", [0, 1])
    write_folder(tmp_path / "second_disk", [2])
    (source / "thread_1").symlink_to(tmp_path / "second_disk/thread_0")
    (source / "thread_0/._rollout_00.npz").write_bytes(b"\0\5\26\7Mac OS X")
    shutil.copytree(source / "thread_0", source / ".ipynb_checkpoints")
    (source / "notes.txt").write_text("by hand")
    assert convert(source, tmp_path / "o") == 0
    assert numbers(tmp_path / "o") == [0, 1, 2]
    told = said(tmp_path / "o")
    assert "3 of 6 files and folders below" in told and "are left out" in told


def test_copies_are_said(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", [0, 1, 2])
    shutil.copy(source / "thread_0/rollout_01.npz", source / "rollout_01 (copy).npz")
    assert convert(source, tmp_path / "o") == 0
    assert "1 of 4 files hold the same bytes as an earlier one" in said(tmp_path / "o")
    assert "thread_0/rollout_01.npz and rollout_01 (copy).npz" in said(tmp_path / "o")


def test_frames_of_two_sizes_are_not_mixed(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", [0, 1])
    write_rollout(source / "x.npz", 5, observations=np.zeros((STEPS, 96, 96, 3), np.uint8))
    assert convert(source, tmp_path / "o") == 1
    assert re.search(r"x.npz: its frames are 96x96, and those of .* 64x64", said(tmp_path / "o"))
    assert convert(source, tmp_path / "o2", "stage.skip_bad=true") == 0
    assert numbers(tmp_path / "o2") == [0, 1]


def bad_folder(folder: Path) -> Path:
    """Ten episodes, of which three are bad in three ways; the last ones, too."""
    write_folder(folder, list(range(10)))
    damaged = folder / "thread_0/rollout_00.npz"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    write_rollout(folder / "thread_0/rollout_04.npz", 4, rewards=np.full(STEPS, np.nan))
    write_rollout(folder / "thread_0/rollout_09.npz", 9, actions=np.full(STEPS, 77))
    return folder


def test_all_bad_files_are_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = bad_folder(tmp_path / "data")
    assert convert(source, tmp_path / "o") == 1
    error = capsys.readouterr().err
    assert re.search(r"^error: 3 of 10 episodes are bad.*stage.skip_bad=true\n", error, re.M)
    for number in ("00", "04", "09"):
        assert re.search(rf"bad: .*rollout_{number}.npz", said(tmp_path / "o"))
    assert not (newest(tmp_path / "o") / "episodes").exists()


@pytest.mark.parametrize("remedy", ["taken away", "skipped"])
def test_a_folder_with_bad_files_becomes_the_store_of_the_others(
    tmp_path: Path, remedy: str
) -> None:
    good = write_folder(tmp_path / "good", [1, 2, 3, 5, 6, 7, 8])
    assert convert(good, tmp_path / "wanted", "stage.val_fraction=0.3") == 0
    source = bad_folder(tmp_path / "data")
    assert convert(source, tmp_path / "o", "stage.val_fraction=0.3") == 1
    run = newest(tmp_path / "o")
    if remedy == "taken away":
        for number in ("00", "04", "09"):
            (source / f"thread_0/rollout_{number}.npz").unlink()
    more = ["stage.skip_bad=true"] if remedy == "skipped" else []
    assert main([f"resume={run}", *more]) == 0
    assert store(tmp_path / "o").digest() == store(tmp_path / "wanted").digest()
    skipped = read_json(run / "source.json").get("skipped", {})
    assert len(skipped) == (3 if remedy == "skipped" else 0)


def test_a_skipped_file_may_go_while_the_run_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bad_folder(tmp_path / "data")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("world_models.data.store.StoreWriter.finish", interrupted)
        assert convert(source, tmp_path / "o", "stage.skip_bad=true") == 130
    (source / "thread_0/rollout_00.npz").unlink()
    assert main([f"resume={newest(tmp_path / 'o')}"]) == 0
    assert numbers(tmp_path / "o") == [1, 2, 3, 5, 6, 7, 8]


def test_a_source_that_moved_while_the_run_was_stopped_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "data", [1, 2, 3])

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("world_models.data.store.StoreWriter.finish", interrupted)
        assert convert(source, tmp_path / "o") == 130
    moved = source.rename(tmp_path / "elsewhere")
    assert main([f"resume={newest(tmp_path / 'o')}", f"stage.source={moved}"]) == 0
    assert numbers(tmp_path / "o") == [1, 2, 3]


def test_where_all_are_bad_one_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_rollout(tmp_path / f"data/{number}.npz", number, actions=np.full(STEPS, 77))
    for more in ([], ["stage.skip_bad=true"]):
        assert convert(tmp_path / "data", tmp_path / "o", *more) == 1
        assert re.search(r"^error: .*0.npz: the action of step 0 is 77", capsys.readouterr().err)
    assert not (tmp_path / "o").exists()


def test_surplus_actions_are_cut_and_said(tmp_path: Path) -> None:
    for number in range(3):
        planned = np.zeros(EXTRA if number else STEPS, np.int64)
        write_rollout(tmp_path / f"data/{number}.npz", number, actions=planned)
    assert convert(tmp_path / "data", tmp_path / "o") == 0
    assert "2 of 3 episodes hold more actions than frames" in said(tmp_path / "o")
