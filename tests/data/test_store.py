import json
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from world_models.data import arrays
from world_models.data.episode import Episode
from world_models.data.store import (
    STORE_COLUMNS,
    EpisodeStore,
    StoreWriter,
    split_episodes,
    write_shard,
)

MakeStore = Callable[..., EpisodeStore]
MakeEpisode = Callable[..., Episode]


@pytest.mark.parametrize(
    ("episodes", "fraction", "validation"),
    [
        (10, 0.0, 0),
        (10, 0.1, 1),
        (10, 0.01, 1),
        (10, 0.25, 2),
        (2, 0.9, 1),
        (1, 0.9, 0),
        (1000, 0.05, 50),
        (0, 0.5, 0),
    ],
)
def test_split_takes_the_last_episodes(episodes: int, fraction: float, validation: int) -> None:
    splits = split_episodes(episodes, fraction)
    assert splits == ["train"] * (episodes - validation) + ["validation"] * validation


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 5])
def test_impossible_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="val_fraction must be"):
        split_episodes(10, fraction)


@pytest.mark.parametrize("discrete", [False, True])
def test_episodes_come_back_as_written(
    make_store: MakeStore, make_episode: MakeEpisode, discrete: bool
) -> None:
    store = make_store(lengths=[5, 1, 9, 4], discrete=discrete)
    for number, (row, length) in enumerate(zip(store.rows, [5, 1, 9, 4], strict=True)):
        written, read = make_episode(number, length, discrete), store.episode(row)
        assert (row.index, row.seed, row.length) == (number, written.seed, length)
        assert row.total_return == written.total_return
        for name in ("frames", "actions", "rewards", "done"):
            before, after = getattr(written, name), getattr(read, name)
            assert before.dtype == after.dtype and before.tobytes() == after.tobytes(), name


def test_each_frame_is_stored_once(make_store: MakeStore) -> None:
    store = make_store(lengths=[5, 1, 9, 4], per_shard=2)
    assert [len(store.arrays(shard).frames) for shard in store.shards()] == [6 + 2, 10 + 5]
    assert [(row.shard, row.start) for row in store.rows] == [(0, 0), (0, 6), (1, 0), (1, 10)]


def test_files_are_plain_npy(make_store: MakeStore) -> None:
    store = make_store()
    assert np.array_equal(np.load(store.folder / "shard_00001_frames.npy"), store.arrays(1).frames)


def test_manifest_describes_the_store(make_store: MakeStore, meta: dict[str, object]) -> None:
    store = make_store(lengths=[5, 1], val_fraction=0.5)
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert {key: manifest[key] for key in meta} == meta
    assert (manifest["kind"], manifest["schema"]) == ("episodes", 1)
    assert manifest["episodes"][1] == {
        "seed": 101,
        "shard": 0,
        "start": 6,
        "length": 1,
        "return": 0.0,
        "split": "validation",
        "crc32": {
            column: zlib.crc32(getattr(store.arrays(0), column)[6:8].tobytes())
            for column in STORE_COLUMNS
        },
    }
    assert set(manifest["shards"][0]["files"]) == {path.name for path in store.folder.glob("*.npy")}


def test_frames_are_counted_by_split(make_store: MakeStore) -> None:
    store = make_store(lengths=[5, 1, 9, 4], val_fraction=0.25)
    assert [row.index for row in store.episodes("validation")] == [3]
    assert store.num_frames() == 23
    assert (store.num_frames("train"), store.num_frames("validation")) == (18, 5)
    assert make_store(lengths=[5, 1], has_final_frame=False, name="no_final").num_frames() == 6


def test_bytes_do_not_depend_on_the_order_of_writing(
    tmp_path: Path, make_episode: MakeEpisode, meta: dict[str, object]
) -> None:
    digests = []
    for name, order in (("ascending", (0, 1, 2)), ("descending", (2, 1, 0))):
        writer = StoreWriter(tmp_path / name, meta)
        for index in order:
            write_shard(tmp_path / name, index, [make_episode(index, 3 + index)], ["train"])
        writer.finish()
        digests.append(EpisodeStore.open(tmp_path / name).digest())
    assert digests[0] == digests[1]


def test_a_reopened_writer_knows_what_is_finished(
    tmp_path: Path, make_episode: MakeEpisode, meta: dict[str, object]
) -> None:
    StoreWriter(tmp_path, meta).write_shard(1, [make_episode(1, 4)], ["train"])
    writer = StoreWriter(tmp_path, meta)
    assert writer.finished_shards() == {1}
    with pytest.raises(AssertionError, match="shards are missing"):
        writer.finish()
    writer.write_shard(0, [make_episode(0, 2)], ["train"])
    assert writer.finish() == tmp_path / "manifest.json"
    assert [row.seed for row in EpisodeStore.open(tmp_path).rows] == [100, 101]


@pytest.mark.parametrize("column", ["frames", "rewards"])
def test_an_interrupted_shard_leaves_no_mark(
    tmp_path: Path,
    make_episode: MakeEpisode,
    meta: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    column: str,
) -> None:
    write = arrays.write_array

    def interrupted(
        path: Path, shape: tuple[int, ...], dtype: np.dtype, chunks: list[np.ndarray]
    ) -> str:
        def cut() -> object:
            yield chunks[0]
            raise KeyboardInterrupt

        return write(path, shape, dtype, cut() if column in path.name else chunks)

    writer = StoreWriter(tmp_path, meta)
    episodes = [make_episode(0, 4), make_episode(1, 2)]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(arrays, "write_array", interrupted)
        writer.write_shard(0, episodes, ["train", "train"])
    assert writer.finished_shards() == set()
    assert not (tmp_path / f"shard_00000_{column}.npy").exists()
    assert not list(tmp_path.glob(".*.tmp"))
    writer.write_shard(0, episodes, ["train", "train"])
    writer.finish()
    EpisodeStore.open(tmp_path).verify()


def test_finish_removes_what_a_killed_writer_left(
    tmp_path: Path, make_episode: MakeEpisode, meta: dict[str, object]
) -> None:
    writer = StoreWriter(tmp_path, meta)
    writer.write_shard(0, [make_episode(0, 4)], ["train"])
    (tmp_path / ".shard_00000_frames.npy.123.tmp").write_bytes(b"half")
    writer.finish()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 2 + [".npy"] * 4


def test_an_unfinished_store_is_refused(
    tmp_path: Path, make_episode: MakeEpisode, meta: dict[str, object]
) -> None:
    StoreWriter(tmp_path, meta).write_shard(0, [make_episode(0, 4)], ["train"])
    with pytest.raises(ValueError, match=r"manifest.json does not exist.*rollout stage"):
        EpisodeStore.open(tmp_path)


def test_another_kind_of_folder_is_refused(make_store: MakeStore) -> None:
    path = make_store().folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(ValueError, match="schema 99, where 'episodes', schema 1 is needed"):
        EpisodeStore.open(path.parent)


def test_a_missing_file_is_named(make_store: MakeStore) -> None:
    store = make_store()
    (store.folder / "shard_00001_actions.npy").unlink()
    with pytest.raises(ValueError, match=r"shard_00001_actions.npy is missing"):
        EpisodeStore.open(store.folder)


@pytest.mark.parametrize("kept", [0, 50, 300])
def test_a_truncated_file_is_named(make_store: MakeStore, kept: int) -> None:
    path = make_store().folder / "shard_00002_frames.npy"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"shard_00002_frames.npy is damaged"):
        EpisodeStore.open(path.parent)


def test_a_file_of_other_length_is_named(make_store: MakeStore) -> None:
    path = make_store().folder / "shard_00000_rewards.npy"
    np.save(path, np.zeros(3, np.float32))
    with pytest.raises(
        ValueError, match=r"shard_00000_rewards.npy has the shape \(3,\) where the manifest says"
    ):
        EpisodeStore.open(path.parent)


def test_an_altered_file_is_named_with_its_episodes(make_store: MakeStore) -> None:
    store = make_store()
    store.verify()
    path = store.folder / "shard_00001_frames.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"shard_00001_frames.npy has changed .* episodes 3 to 5 cannot be trusted"
    ):
        EpisodeStore.open(store.folder).verify()


def test_digest_follows_the_content(make_store: MakeStore) -> None:
    same, again, other = (
        make_store(lengths, name=name) for lengths, name in (([3], "a"), ([3], "b"), ([4], "c"))
    )
    assert same.digest() == again.digest() != other.digest()


def test_a_store_travels_without_its_maps(make_store: MakeStore) -> None:
    store = make_store()
    store.arrays(0)
    copy = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(copy)) == len(pickle.dumps(store))
    frames = copy.arrays(0).frames
    assert np.array_equal(frames, store.arrays(0).frames) and not frames.flags.writeable
