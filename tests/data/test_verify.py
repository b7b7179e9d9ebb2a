"""Every kind of damage to a store is found, and named with its file and episode."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.data.growing import StoreAppender
from world_models.data.store import META_KEYS, EpisodeStore, StoreWriter, write_shard
from world_models.data.verify import Verdict, check_store
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.runs import progress

LENGTHS = [5, 1, 9, 4, 12, 3, 7]
COUNTING_SPACE = ActionSpace("box", 2, (0.0, 0.0), (100.0, 10.0), ("affine", "affine"))
COUNTING_SPEC = EnvSpec(
    "Counting-v0", {}, Preprocessing((0, 0, 0, 0), 16, False), 1, COUNTING_SPACE, 50
)
# first row of each episode in its shard of three
FIRST_ROWS = {0: 0, 1: 6, 2: 8, 3: 0, 4: 5, 5: 18, 6: 0}


@pytest.fixture
def store(tmp_path: Path, make_episode: Callable[..., Any]) -> EpisodeStore:
    """Seven episodes in shards of three; the last two are for validation."""
    meta = {
        "backend": "gymnasium",
        "policy": "counting",
        "seed": 7,
        "versions": {},
        "has_final_frame": True,
    }
    writer = StoreWriter(tmp_path / "episodes", {"env": COUNTING_SPEC.to_dict(), **meta})
    episodes = [make_episode(number, length, size=16) for number, length in enumerate(LENGTHS)]
    splits = ["train"] * 5 + ["validation"] * 2
    for shard, first in enumerate(range(0, 7, 3)):
        writer.write_shard(shard, episodes[first : first + 3], splits[first : first + 3])
    writer.finish()
    return EpisodeStore.open(tmp_path / "episodes")


def sentences(verdict: Verdict) -> list[str]:
    return [damage.sentence for damage in verdict.damages]


def edit_manifest(store: EpisodeStore, change: Callable[[dict], Any]) -> None:
    path = store.folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_array(store: EpisodeStore, name: str, row: int, value: Any) -> None:
    """Change a value and the hash with it, so that the value alone gives it away."""
    path = store.folder / f"{name}.npy"
    array = np.load(path, mmap_mode="r+")
    array[row] = value
    array.flush()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_manifest(
        store,
        lambda content: content["shards"][int(name[6:11])]["files"].update({path.name: digest}),
    )


def test_a_whole_store_has_no_damage(store: EpisodeStore) -> None:
    verdict = check_store(store.folder)
    assert verdict.damages == [] and verdict.damaged == set() and len(verdict.rows) == 7


def test_it_says_how_far_it_is_and_how_long_it_takes(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    monkeypatch.setattr(progress.ProgressBar, "_watch", lambda bar: None)
    caplog.set_level("INFO")
    check_store(store.folder)
    lines = [line for line in caplog.messages if line.startswith("verify ")]
    assert [line.split(",")[0] for line in lines] == ["verify 1/3", "verify 2/3", "verify 3/3"]
    assert all("shards/s" in line and line.endswith(" left") for line in lines)


def grown(store: EpisodeStore, make_episode: Callable[..., Any]) -> EpisodeStore:
    """The store with two shards more, of one episode each and of another policy."""
    kept = {key: store.manifest[key] for key in META_KEYS}
    with StoreAppender.open(store.folder, {**kept, "policy": "agent"}) as appender:
        for index, number in ((3, 7), (4, 8)):
            appender.write_shard(index, [make_episode(number, 4, size=16)], ["train"])
        return appender.commit()


def test_a_grown_store_is_checked_to_its_end(
    store: EpisodeStore, make_episode: Callable[..., Any]
) -> None:
    again = grown(store, make_episode)
    write_shard(store.folder, 5, [make_episode(9, 4, size=16)], ["train"])
    verdict = check_store(store.folder)
    assert verdict.damages == [] and len(verdict.rows) == 9, "the uncommitted shard does not count"
    edit_array(again, "shard_00004_rewards", 2, 100)
    assert check_store(store.folder).damaged == {8}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"first_episode": 9}, "an addition from episode 9 on, which lies outside of 1 to 8"),
        ({"first_episode": 0}, "in additions[0] of manifest.json, first_episode is 0, "),
        ({"policy": None}, "in additions[0] of manifest.json, policy is None, "),
    ],
)
def test_a_wrong_addition_is_named(
    store: EpisodeStore, make_episode: Callable[..., Any], entry: dict[str, Any], sentence: str
) -> None:
    edit_manifest(grown(store, make_episode), lambda content: content["additions"][0].update(entry))
    assert sentence in " ".join(sentences(check_store(store.folder)))


def test_shards_that_are_not_numbered_on_are_refused(store: EpisodeStore) -> None:
    edit_manifest(store, lambda content: content["shards"].append(content["shards"][1]))
    with pytest.raises(ValueError, match="two of its shards have one index"):
        check_store(store.folder)


WRONG_VALUES = [
    (
        "shard_00001_actions",
        FIRST_ROWS[4] + 2,
        (2, 11),
        4,
        r"holds \[ 2\. 11\.\] at step 2, outside Box",
    ),
    ("shard_00001_actions", FIRST_ROWS[4] + 2, (np.nan, 1), 4, r"holds \[nan  1\.\] at step 2"),
    ("shard_00000_rewards", FIRST_ROWS[2] + 3, np.nan, 2, r"holds nan at step 3"),
    ("shard_00000_rewards", FIRST_ROWS[2] + 3, np.inf, 2, r"holds inf at step 3"),
    ("shard_00000_rewards", FIRST_ROWS[2] + 3, 4, 2, r"sums to 37.0, and manifest.json says 36.0"),
    (
        "shard_00001_done",
        FIRST_ROWS[3] + 3,
        0,
        3,
        r"holds 0 at step 3 of 4, where it must be 1 or 2",
    ),
    (
        "shard_00001_done",
        FIRST_ROWS[3] + 3,
        3,
        3,
        r"holds 3 at step 3 of 4, where it must be 1 or 2",
    ),
    ("shard_00001_done", FIRST_ROWS[3] + 1, 1, 3, r"holds 1 at step 1 of 4, where it must be 0"),
    ("shard_00002_done", 7, 2, 6, r"is not zero in row 7, which is padding"),
    ("shard_00002_rewards", 7, 1, 6, r"is not zero in row 7, which is padding"),
    ("shard_00002_actions", 7, 1, 6, r"is not zero in row 7, which is padding"),
]


@pytest.mark.parametrize(
    ("name", "row", "value", "episode", "sentence"),
    WRONG_VALUES,
    ids=[f"{item[0]} {item[4]}"[:60] for item in WRONG_VALUES],
)
def test_a_wrong_value_is_named(
    store: EpisodeStore, name: str, row: int, value: Any, episode: int, sentence: str
) -> None:
    edit_array(store, name, row, value)
    verdict = check_store(store.folder)
    assert verdict.damaged == {episode} and len(verdict.damages) == 1
    assert verdict.damages[0].sentence.startswith(f"episode {episode}: ")
    assert re.search(rf"{name}\.npy {sentence}", verdict.damages[0].sentence), verdict.damages


def test_an_altered_byte_is_noticed_by_its_hash(store: EpisodeStore) -> None:
    path = store.folder / "shard_00001_frames.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    fault = (
        "cannot be trusted: "
        "shard_00001_frames.npy has changed since it was written (its SHA-256 differs)"
    )
    verdict = check_store(store.folder)
    assert sentences(verdict) == [f"episode 5 {fault}"] and verdict.damaged == {5}
    content[200] ^= 1
    path.write_bytes(content)
    assert sentences(check_store(store.folder)) == [f"episodes 3, 5 {fault}"]
    edit_manifest(store, lambda content: [row.pop("crc32") for row in content["episodes"]])
    verdict = check_store(store.folder)
    assert sentences(verdict) == [f"episodes 3 to 5 {fault}"] and verdict.damaged == {3, 4, 5}, (
        "without checksums"
    )


def test_several_damages_are_all_listed(store: EpisodeStore) -> None:
    (store.folder / "shard_00000_done.npy").unlink()
    path = store.folder / "shard_00002_rewards.npy"
    path.write_bytes(path.read_bytes()[:-4])
    edit_array(store, "shard_00001_rewards", FIRST_ROWS[5], 100)
    found = sentences(check_store(store.folder))
    assert len(found) == 3
    assert "episodes 0 to 2 cannot be trusted" in found[0]
    assert "shard_00000_done.npy is missing" in found[0]
    assert found[1].startswith("episode 5: shard_00001_rewards.npy sums to 103.0")
    assert found[2].startswith("episode 6 cannot be trusted")
    assert "has 156 bytes where its header says 160" in found[2]


def test_arrays_of_another_layout_are_named(store: EpisodeStore) -> None:
    np.save(store.folder / "shard_00002_actions.npy", np.zeros((8, 2), np.float64))
    np.save(store.folder / "shard_00002_frames.npy", np.zeros((8, 16, 16, 1), np.uint8))
    found = sentences(check_store(store.folder))
    assert len(found) == 2
    frames = "shard_00002_frames.npy holds uint8 (16, 16, 1) per row, "
    assert frames + "where its env has uint8 (16, 16, 3)" in found[0]
    actions = "shard_00002_actions.npy holds float64 (2,) per row, "
    assert actions + "where its env has float32 (2,)" in found[1]


def set_row(index: int, key: str, value: Any) -> Callable[[dict], Any]:
    return lambda content: content["episodes"][index].update({key: value})


WRONG_TABLES: list[tuple[Callable[[dict], Any], int, str]] = [
    (set_row(2, "length", 0), 2, "episode 2: in manifest.json, length is 0, "),
    (set_row(2, "seed", -7), 2, "episode 2: in manifest.json, seed is -7, "),
    (set_row(2, "seed", "x"), 2, "episode 2: in manifest.json, seed is 'x', "),
    (
        set_row(2, "split", "test"),
        2,
        "episode 2: in manifest.json, split is 'test', input should be 'train' or 'validation'",
    ),
    (
        set_row(2, "shard", 9),
        2,
        ("episode 2: manifest.json puts it into shard 9, and there is no such shard"),
    ),
    (set_row(2, "length", 8), 2, "shard_00000: only 17 of its 18 rows belong to an episode"),
    (
        set_row(2, "length", 10),
        2,
        ("episode 2: manifest.json puts it into rows 8 to 18 of shard_00000, which has 18 rows"),
    ),
    (
        set_row(1, "start", 5),
        1,
        (
            "episode 1: manifest.json puts it into rows 5 to 6 of shard_00000, "
            "which has 18 rows, 6 taken"
        ),
    ),
    (
        set_row(6, "seed", 103),
        6,
        ("episode 6: it is for validation, yet its seed 103 is that of training episode 3"),
    ),
    (
        set_row(0, "return", 3.0),
        0,
        ("episode 0: shard_00000_rewards.npy sums to 10.0, and manifest.json says 3.0"),
    ),
]


@pytest.mark.parametrize(
    ("change", "episode", "sentence"), WRONG_TABLES, ids=[item[2][:70] for item in WRONG_TABLES]
)
def test_a_wrong_episode_table_is_named(
    store: EpisodeStore, change: Callable[[dict], Any], episode: int, sentence: str
) -> None:
    edit_manifest(store, change)
    verdict = check_store(store.folder)
    assert any(found.startswith(sentence) for found in sentences(verdict)), verdict.damages
    assert verdict.damaged == {episode}


def test_unknown_seeds_are_no_damage(store: EpisodeStore) -> None:
    def forget(content: dict) -> None:
        for row in content["episodes"]:
            row["seed"] = -1

    edit_manifest(store, forget)
    assert check_store(store.folder).damages == []


def test_a_manifest_that_says_too_little_is_one_sentence(
    store: EpisodeStore, tmp_path: Path
) -> None:
    for number, (change, sentence) in enumerate(
        (
            (
                lambda content: content.pop("shards"),
                r"manifest\.json is damaged: shards is missing",
            ),
            (
                lambda content: content["shards"][1].pop("rows"),
                r"shards\[1\]\.rows is missing",
            ),
            (
                lambda content: content["env"].pop("action_space"),
                r"env\.action_space is missing",
            ),
        )
    ):
        folder = tmp_path / f"copy_{number}"
        shutil.copytree(store.folder, folder)
        edit_manifest(EpisodeStore.open(folder), change)
        with pytest.raises(ValueError, match=sentence):
            check_store(folder)
