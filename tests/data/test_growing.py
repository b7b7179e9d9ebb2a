"""A store grows by whole shards: its readers always see a whole store, the old or the new."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.data.episode import Episode
from world_models.data.growing import StoreAppender, StoreExtender
from world_models.data.manifests import shard_name
from world_models.data.store import EpisodeStore, StoreWriter, write_shard

MakeStore = Callable[..., EpisodeStore]
MakeEpisode = Callable[..., Episode]
Meta = dict[str, Any]
LENGTHS = [5, 1, 9, 4, 12, 3, 7]
SPLITS = ["train", "train", "validation", "train", "train", "train", "validation"]
# episodes of the store before it grows; then there are two to a shard
NUM_BEFORE = 3


@pytest.fixture
def episodes(make_episode: MakeEpisode) -> list[Episode]:
    return [make_episode(number, length) for number, length in enumerate(LENGTHS)]


@pytest.fixture
def begun(tmp_path: Path, meta: Meta, episodes: list[Episode]) -> Path:
    """A finished store of three episodes in one shard."""
    writer = StoreWriter(tmp_path / "begun", meta)
    writer.write_shard(0, episodes[:NUM_BEFORE], SPLITS[:NUM_BEFORE])
    writer.finish()
    return tmp_path / "begun"


def additions(episodes: list[Episode]) -> list[tuple[list[Episode], list[str]]]:
    return [
        (episodes[first : first + 2], SPLITS[first : first + 2])
        for first in range(NUM_BEFORE, len(episodes), 2)
    ]


def grow(folder: Path, meta: Meta, episodes: list[Episode]) -> None:
    """Add what the store lacks, a commit after each shard."""
    with StoreAppender.open(folder, meta) as appender:
        for index, (some, splits) in enumerate(additions(episodes), 1):
            if index >= appender.next_shard:
                appender.write_shard(index, some, splits)
                appender.commit()


def content(folder: Path) -> dict[str, bytes]:
    """Arrays, marks and the manifest; not the manifests of earlier moments."""
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".lock"]
    return {path.name: path.read_bytes() for path in files}


def assert_whole(folder: Path, episodes: list[Episode]) -> EpisodeStore:
    """The store is whole, and its episodes are the first of these."""
    store = EpisodeStore.open(folder)
    store.verify()
    for row in store.rows:
        assert np.array_equal(store.episode(row).frames, episodes[row.index].frames)
        assert row.seed == episodes[row.index].seed and row.split == SPLITS[row.index]
    return store


@pytest.mark.parametrize("at_once", [True, False], ids=["one commit", "a commit for each shard"])
def test_a_grown_store_equals_one_collected_at_once(
    tmp_path: Path, begun: Path, meta: Meta, episodes: list[Episode], at_once: bool
) -> None:
    writer = StoreWriter(tmp_path / "whole", meta)
    writer.write_shard(0, episodes[:NUM_BEFORE], SPLITS[:NUM_BEFORE])
    for index, added in enumerate(additions(episodes), 1):
        writer.write_shard(index, *added)
    writer.finish()
    if at_once:
        with StoreAppender.open(begun, meta) as appender:
            for index, added in enumerate(additions(episodes), 1):
                appender.write_shard(index, *added)
            assert len(appender.commit().rows) == len(LENGTHS)
    else:
        grow(begun, meta, episodes)
    (begun / ".lock").unlink()
    assert content(begun) == content(tmp_path / "whole"), "arrays, marks and manifest"


def test_shards_that_workers_write_are_committed_without_gaps(
    begun: Path, meta: Meta, episodes: list[Episode]
) -> None:
    first, second = additions(episodes)
    with StoreAppender.open(begun, meta) as appender:
        write_shard(begun, 2, *second)
        assert len(appender.commit().rows) == NUM_BEFORE, "shard 1 is not there yet"
        write_shard(begun, 1, *first)
        assert [row.index for row in appender.commit().rows] == list(range(len(LENGTHS)))
    assert_whole(begun, episodes)


def test_a_reader_keeps_the_store_that_it_opened(
    begun: Path, meta: Meta, episodes: list[Episode]
) -> None:
    reader = EpisodeStore.open(begun)
    digest = reader.digest()
    shard = reader.shard_digest(0)
    grow(begun, meta, episodes)
    assert len(reader.rows) == NUM_BEFORE and reader.digest() == digest
    reader.verify()
    grown = assert_whole(begun, episodes)
    assert grown.digest() != digest and grown.shard_digest(0) == shard
    assert len({grown.shard_digest(index) for index in grown.shards()}) == 3


def test_another_origin_is_noted_and_later_ones_after_it(
    begun: Path, meta: Meta, episodes: list[Episode]
) -> None:
    metas = [{**meta, "policy": "agent"}, {**meta, "policy": "agent"}, {**meta, "seed": 8}]
    for other, episode in zip(metas, episodes[NUM_BEFORE:], strict=False):
        with StoreAppender.open(begun, other) as appender:
            appender.write_shard(appender.next_shard, [episode], ["train"])
            appender.commit()
    manifest = json.loads((begun / "manifest.json").read_text())
    assert manifest["policy"] == meta["policy"]
    assert manifest["additions"] == [
        {"first_episode": 3, "policy": "agent", "seed": 7, "versions": meta["versions"]},
        {"first_episode": 5, "policy": "counting", "seed": 8, "versions": meta["versions"]},
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("env", {"id": "Other-v0"}), ("backend", "envpool"), ("has_final_frame", False)],
)
def test_episodes_of_another_kind_are_refused(
    begun: Path, meta: Meta, key: str, value: Any
) -> None:
    before = content(begun)
    with (
        pytest.raises(ValueError, match=rf"cannot take these episodes: its {key} is .*, theirs"),
        StoreAppender.open(begun, {**meta, key: value}),
    ):
        pass
    assert content(begun).items() >= before.items()


def test_an_unfinished_store_cannot_grow(
    tmp_path: Path, meta: Meta, episodes: list[Episode]
) -> None:
    StoreWriter(tmp_path / "new", meta).write_shard(0, episodes[:1], ["train"])
    with (
        pytest.raises(ValueError, match=r"manifest.json does not exist"),
        StoreAppender.open(tmp_path / "new", meta),
    ):
        pass


def test_a_committed_shard_is_never_written_again(
    begun: Path, meta: Meta, episodes: list[Episode]
) -> None:
    with (
        StoreAppender.open(begun, meta) as appender,
        pytest.raises(ValueError, match="has a shard 0 already: new ones are numbered from 1"),
    ):
        appender.write_shard(0, episodes[3:], ["train"] * 4)
    assert_whole(begun, episodes)


def test_a_second_writer_is_refused(begun: Path, meta: Meta, episodes: list[Episode]) -> None:
    with StoreAppender.open(begun, meta):
        with (
            pytest.raises(ValueError, match="is being written by another process"),
            StoreAppender.open(begun, meta),
        ):
            pass
        with pytest.raises(ValueError, match="is being added to by another process"):
            StoreWriter(begun, meta)
    grow(begun, meta, episodes)
    StoreWriter(begun, meta)


def test_a_writer_of_new_stores_leaves_a_grown_one_alone(
    begun: Path, meta: Meta, episodes: list[Episode]
) -> None:
    grow(begun, {**meta, "policy": "agent"}, episodes)
    before = (begun / "manifest.json").read_bytes()
    write_shard(begun, 3, episodes[:1], ["train"])
    StoreWriter(begun, meta).finish()
    assert (begun / "manifest.json").read_bytes() == before


def test_what_was_not_committed_is_never_read(
    begun: Path, meta: Meta, episodes: list[Episode]
) -> None:
    with StoreAppender.open(begun, meta):
        write_shard(begun, 1, episodes[:1], ["train"])
        write_shard(begun, 2, episodes[1:2], ["train"])
    assert len(EpisodeStore.open(begun).rows) == NUM_BEFORE
    (begun / ".shard_00001_frames.npy.1.tmp").write_bytes(b"half")
    with StoreAppender.open(begun, meta) as appender:
        assert {path.name[:11] for path in begun.glob("*shard*")} == {shard_name(0)}
        appender.write_shard(1, episodes[3:5], SPLITS[3:5])
        assert len(appender.commit().rows) == NUM_BEFORE + 2, "not the old shard 2 with it"
    assert_whole(begun, episodes)


# each of the two shards is four arrays and a mark; then the manifest is kept, and a new one comes
NUM_WRITES = 2 * (4 + 1 + 2)


def kill_at(call: int, after: bool, folder: Path, meta: Meta, episodes: list[Episode]) -> None:
    """Grow the store, killed as by kill -9 just before or after the n-th file takes its name."""
    replace = os.replace
    calls = iter(range(1, 1000))

    def killed(*args: Any) -> None:
        now = next(calls) == call
        if after or not now:
            replace(*args)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = killed
    grow(folder, meta, episodes)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_write_leaves_a_whole_store(
    tmp_path: Path, begun: Path, meta: Meta, episodes: list[Episode], after: bool
) -> None:
    shutil.copytree(begun, tmp_path / "whole")
    grow(tmp_path / "whole", meta, episodes)
    sizes = set()
    for call in range(1, NUM_WRITES + 1):
        folder = tmp_path / f"killed_{call}"
        shutil.copytree(begun, folder)
        args = (call, after, folder, meta, episodes)
        process = multiprocessing.get_context("fork").Process(target=kill_at, args=args)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the n-th write was reached"
        sizes.add(len(assert_whole(folder, episodes).rows))
        grow(folder, meta, episodes)
        assert content(folder) == content(tmp_path / "whole"), call
    assert sizes == ({3, 5, 7} if after else {3, 5})


def test_a_reader_that_opens_while_the_store_grows_sees_a_whole_one(
    begun: Path, meta: Meta, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    sizes = []

    def watched(*args: Any) -> None:
        sizes.append(len(assert_whole(begun, episodes).rows))
        replace(*args)
        sizes.append(len(assert_whole(begun, episodes).rows))

    monkeypatch.setattr(os, "replace", watched)
    grow(begun, meta, episodes)
    assert sizes == sorted(sizes) and set(sizes) == {3, 5, 7} and len(sizes) == 2 * NUM_WRITES


def extend(folder: Path, meta: Meta, begun: Path, episodes: list[Episode]) -> EpisodeStore:
    """A store that begins with that of `begun`, and has what it lacks."""
    writer = StoreExtender(folder, meta, EpisodeStore.open(begun))
    for index, (some, splits) in enumerate(additions(episodes), writer.next_shard):
        if index not in writer.finished_shards():
            writer.write_shard(index, some, splits)
    writer.finish()
    return EpisodeStore.open(folder)


def arrays_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


@pytest.mark.parametrize("same_disk", [True, False])
def test_an_extended_store_is_whole_and_leaves_the_other_as_it_was(
    begun: Path,
    tmp_path: Path,
    meta: Meta,
    episodes: list[Episode],
    same_disk: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not same_disk:

        def refuse(path: Path, target: Path) -> None:
            raise OSError(errno.EXDEV, "another disk")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    before = content(begun)
    store = extend(tmp_path / "more", meta, begun, episodes)
    assert content(begun) == before
    assert_whole(store.folder, episodes)
    assert (store.newest, EpisodeStore.open(begun).newest) == (NUM_BEFORE, 0)
    first = f"{shard_name(0, 'frames')}.npy"
    assert (store.folder / first).samefile(begun / first) == same_disk
    grow(begun, meta, episodes)
    grown, extended = (
        json.loads((folder / "manifest.json").read_text()) for folder in (begun, store.folder)
    )
    noted = extended.pop("additions")
    assert extended == grown and arrays_of(store.folder) == arrays_of(begun)
    origin = {key: meta[key] for key in ("policy", "seed", "versions")}
    assert noted == [{"first_episode": NUM_BEFORE, **origin}], "also where the origin is the same"


def test_an_extended_store_is_gone_on_with_and_extended_again(
    begun: Path, tmp_path: Path, meta: Meta, episodes: list[Episode]
) -> None:
    writer = StoreExtender(tmp_path / "cut", meta, EpisodeStore.open(begun))
    writer.write_shard(1, *additions(episodes)[0])
    cut = extend(tmp_path / "cut", meta, begun, episodes)
    whole = extend(tmp_path / "whole", meta, begun, episodes)
    assert content(cut.folder) == content(whole.folder)
    again = extend(tmp_path / "again", meta, cut.folder, episodes)
    again.verify()
    assert again.newest == len(episodes)
    assert len(again.rows) == 2 * len(episodes) - NUM_BEFORE
    with pytest.raises(ValueError, match="cannot take these episodes: its backend is"):
        StoreExtender(tmp_path / "other", {**meta, "backend": "envpool"}, cut)
    assert not (tmp_path / "other").exists()
