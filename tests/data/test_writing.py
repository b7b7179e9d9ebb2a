"""Exports on a full disk: one error that names the file, and nothing left."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from world_models.data.interchange.formats import Format, export
from world_models.data.interchange.recording import Alignment
from world_models.data.interchange.writing import renaming, require_room
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.runs.files import remove_leftovers

NAMES = {"npz": "episode_000000.npz", "hdf5": "episodes.hdf5", "minari": "minari"}


@pytest.fixture
def store(tmp_path: Path, make_episode: Callable, meta: dict[str, object]) -> EpisodeStore:
    """Three episodes, the last of 40 steps."""
    space = ActionSpace("discrete", 100, (), (), ())
    spec = EnvSpec("Clock-v0", {}, Preprocessing((0, 0, 0, 0), 32, False), 1, space, None)
    writer = StoreWriter(tmp_path / "episodes", {**meta, "env": spec.to_dict()})
    lengths = enumerate((2, 2, 40))
    episodes = [make_episode(number, length, True, 32) for number, length in lengths]
    writer.write_shard(0, episodes, ["train"] * 3)
    writer.finish()
    return EpisodeStore.open(tmp_path / "episodes")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A process that may write no longer files meets what a full disk shows, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("target", ["npz", "hdf5", "minari"])
def test_an_export_that_finds_no_room_leaves_nothing(
    store: EpisodeStore, tmp_path: Path, target: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    alignment = None if target == "minari" else Alignment.pre
    with files_of_at_most(2000), pytest.raises(OSError, match=rf"{NAMES[target]} cannot"):
        list(export(store, Format(target), folder, alignment))
    assert not [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".npz"]
    assert len(list(export(store, Format(target), folder, alignment))) == 3


def test_room_is_looked_for_behind_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))
    with files_of_at_most(5_000_000):
        require_room(path, 500_000)
        with pytest.raises(OSError, match="too large"):
            require_room(path, 1_500_000)
    assert list(tmp_path.iterdir()) == [path] and path.stat().st_size == 3_000_000


def test_what_a_killed_export_leaves_is_taken_away(tmp_path: Path) -> None:
    with renaming(tmp_path / "minari") as temporary:
        (temporary / "data").mkdir(parents=True)
        (temporary / "data" / "main.hdf5").write_text("half")
        left = tmp_path / f".kept.partial.{os.getpid()}.tmp"
        (left / "data").mkdir(parents=True)
    assert (tmp_path / "minari/data/main.hdf5").is_file()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["minari"]
