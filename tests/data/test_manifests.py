"""What a manifest or a commit mark claims is checked before an array is touched."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.data.latents import LATENT_COLUMNS, LatentStore, encode_store
from world_models.data.store import STORE_COLUMNS, EpisodeStore, StoreWriter
from world_models.data.verify import check_store

MakeStore = Callable[..., EpisodeStore]


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def put(*place: Any) -> Callable[[Any], Any]:
    """put(key, ..., value): sets a field; the value `del` takes it away."""
    *above, last, value = place

    def change(content: Any) -> None:
        for key in above:
            content = content[key]
        if value == "del":
            del content[last]
        else:
            content[last] = value

    return change


def made_up(content: Any) -> None:
    content["episodes"] *= 70_000


WRONG = {
    "length": [put("episodes", 1, "length", value) for value in (-5, 0, 2, 8, 3.5, "4", True)],
    "start": [put("episodes", 1, "start", value) for value in (-1, 0, 5, 10**9, 10**30, None)],
    "episode": [
        put("episodes", 0, "split", "test"),
        put("episodes", 0, "shard", 7),
        put("episodes", 0, "seed", -2),
        put("episodes", 0, "return", "nan"),
        put("episodes", 0, "return", None),
        put("episodes", 2, "length", "del"),
        put("episodes", 2, "del"),
        put("episodes", []),
        put("episodes", {}),
        made_up,
    ],
    "shard": [
        put("shards", 1, "index", 0),
        put("shards", 1, "index", 5),
        put("shards", 0, "rows", 10**12),
        put("shards", 0, "files", {}),
        put("shards", 0, "files", {"../../a.npy": "0" * 64}),
        put("shards", 0, "files", "shard_00000_frames.npy", "0" * 63),
        put("shards", "del"),
        put("shards", 1, "del"),
    ],
    "rest": [
        put("has_final_frame", 1),
        put("env", "frame_skip", 0),
        put("env", "preprocessing", "size", 10**9),
        put("env", "action_space", "size", 3),
        put("env", "action_space", "low", [float("nan"), 0.0]),
        put("env", {}),
        put("additions", [{"first_episode": 0}]),
        put("schema", "1"),
        put("kind", "latents"),
    ],
}


@pytest.mark.parametrize("part", WRONG)
def test_a_manifest_in_which_something_cannot_be_is_refused(
    make_store: MakeStore, part: str
) -> None:
    path = make_store([5, 3, 4, 6], per_shard=2).folder / "manifest.json"
    whole = path.read_text()
    for change in WRONG[part]:
        path.write_text(whole)
        edit(path, change)
        with pytest.raises(ValueError, match=r"manifest\.json"):
            EpisodeStore.open(path.parent)
        try:
            assert check_store(path.parent).damages
        except ValueError as error:
            assert "manifest.json" in str(error)


@pytest.mark.parametrize("content", ["[]", "3", "null", "[" * 5000, '{"kind": ' + "1" * 5000 + "}"])
def test_what_is_no_manifest_at_all_is_refused(make_store: MakeStore, content: str) -> None:
    folder = make_store().folder
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        EpisodeStore.open(folder)


@pytest.mark.parametrize("name", ["manifest.json", "shard_00000_rewards.npy"])
def test_a_pipe_is_not_waited_for(make_store: MakeStore, name: str) -> None:
    folder = make_store().folder
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match=f"{name} is no regular file"):
        EpisodeStore.open(folder)


@pytest.mark.parametrize(
    ("column", "array"),
    [
        ("rewards", np.zeros(10, np.float64)),
        ("rewards", np.zeros((10, 1), np.float32)),
        ("done", np.zeros(10, np.int64)),
        ("frames", np.zeros((10, 4, 4, 3), np.float32)),
        ("frames", np.asfortranarray(np.zeros((10, 4, 4, 3), np.uint8))),
        ("actions", np.array([None] * 10)),
    ],
)
def test_rows_of_another_kind_are_refused(
    make_store: MakeStore, column: str, array: np.ndarray
) -> None:
    folder = make_store([5, 3], per_shard=2).folder
    np.save(folder / f"shard_00000_{column}.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=f"shard_00000_{column}"):
        EpisodeStore.open(folder)


MARKS = {
    "index": [put("index", 1), put("index", -1), put("index", "0")],
    "files": [put("files", {}), put("files", {"x.npy": "0" * 64})],
    "episodes": [put("episodes", []), put("episodes", 0, "start", 1), put("rows", 3)],
}


@pytest.mark.parametrize("part", MARKS)
def test_a_damaged_mark_of_a_shard_is_refused(make_store: MakeStore, part: str) -> None:
    store = make_store([5, 3, 4, 6], per_shard=2)
    mark = store.folder / "shard_00000.json"
    whole = mark.read_text()
    for change in MARKS[part]:
        mark.write_text(whole)
        edit(mark, change)
        with pytest.raises(ValueError, match=r"shard_00000\.json is damaged"):
            StoreWriter(store.folder, {**store.manifest}).finished_shards()


@pytest.mark.parametrize(
    "change",
    [
        put("latent_size", 3),
        put("latent_size", 10**9),
        put("latent_size", "2"),
        put("shards", 0, "files", {}),
        put("shards", 0, "rows", 4),
        put("shards", []),
        put("vae", None),
    ],
)
def test_latents_in_which_something_cannot_be_are_refused(
    make_store: MakeStore, tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    store = make_store([5, 3])

    def encode(frames: Any) -> Any:
        flat = frames.float().flatten(1)[:, :2]
        return flat, flat * 0

    path = encode_store(encode, store, tmp_path / "latents", "0" * 64)
    LatentStore.open(path.parent, "0" * 64, store)
    assert len(LATENT_COLUMNS) == 2 and len(STORE_COLUMNS) == 4
    edit(path, change)
    with pytest.raises(ValueError, match="latents"):
        LatentStore.open(path.parent, "0" * 64, store)
