"""The episode store: a folder of sharded arrays and the manifest that describes them.

Each frame is stored once.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from world_models.data import arrays
from world_models.data.arrays import Layout, ShardedFolder, read_manifest
from world_models.data.episode import Episode
from world_models.data.manifests import STORE_COLUMNS, require_store, shard_name
from world_models.envs.spec import EnvSpec
from world_models.runs.files import KEPT_FOLDER
from world_models.runs.folder import display_path, is_live
from world_models.runs.parsing import damaged
from world_models.runs.stored_env import spec_of

STORE_KIND = "episodes"
STORE_SCHEMA = 1
META_KEYS = ("env", "backend", "policy", "seed", "has_final_frame", "versions")
SPLITS = ("train", "validation")
ROW_KINDS = {
    ("frames", "uint8", 3),
    ("actions", "float32", 1),
    ("actions", "int64", 0),
    ("rewards", "float32", 0),
    ("done", "uint8", 0),
}
"""What a row of a column can be: type, and number of dimensions."""
STORE_REMEDY = "finish the rollout stage, or resume its run folder"


def split_episodes(episodes: int, val_fraction: float) -> list[str]:
    """The split of each of `episodes` episodes.

    The last round(val_fraction * episodes) are "validation", the rest "train". 0 means none. A
    larger fraction gives at least one where there are two episodes or more, and always leaves one
    for training. A fraction outside [0, 1) is a ValueError.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction must be at least 0 and below 1, not {val_fraction}")
    wanted = max(1, round(val_fraction * episodes)) if val_fraction > 0 else 0
    validation = max(0, min(wanted, episodes - 1))
    return ["train"] * (episodes - validation) + ["validation"] * validation


def check_new_split(env: EnvSpec, episodes: str) -> None:
    """Episodes whose levels only their own split keeps apart are a ValueError; it names them."""
    if env.has_one_level:
        raise ValueError(
            f"{episodes} are all of one level, none can be held out: leave val_ratio=null"
        )
    if env.level_limit:
        raise ValueError(
            f"{episodes} come from {env.level_limit} levels, and only their own split keeps the "
            "levels apart: leave val_ratio=null, or set stage.val_fraction when you collect"
        )


def write_shard(
    folder: Path, index: int, episodes: list[Episode], splits: list[str]
) -> dict[str, Any]:
    """Write one shard of at least one episode; returns its commit mark.

    The mark holds index, rows, files (SHA-256) and episodes (table). An interrupted shard has no
    mark, and is simply written again.
    """
    columns = {
        column: [getattr(episode, column) for episode in episodes] for column in STORE_COLUMNS
    }
    table = list(_episode_rows(index, episodes, splits))
    return arrays.write_shard(folder, index, columns, {"episodes": table})


def _episode_rows(
    shard: int, episodes: list[Episode], splits: list[str]
) -> Iterator[dict[str, Any]]:
    """The episode table's entries for one shard."""
    start = 0
    for episode, split in zip(episodes, splits, strict=True):
        assert split in SPLITS, split
        place = {"seed": episode.seed, "shard": shard, "start": start, "length": episode.length}
        checksums = {column: checksum(getattr(episode, column)) for column in STORE_COLUMNS}
        yield {**place, "return": episode.total_return, "split": split, "crc32": checksums}
        start += episode.length + 1


def checksum(values: npt.NDArray[Any]) -> int:
    """CRC-32 of one episode's part of a column.

    It tells which episode of a damaged shard is the damaged one.
    """
    return zlib.crc32(np.ascontiguousarray(values).data)


def is_return(total: float, stated: float) -> bool:
    """Whether rewards that sum to `total` are those of the return that a manifest states."""
    return math.isclose(total, stated, rel_tol=1e-6, abs_tol=1e-6)


class StoreWriter:
    """Writes a new store shard by shard; opened again on the same folder it finds what is finished.

    `growing.StoreAppender` continues a finished one.
    """

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        """`meta` goes into the manifest.

        Its keys are env (a specification as a dict), backend, policy, seed, has_final_frame and
        versions.
        """
        missing = [key for key in META_KEYS if key not in meta]
        assert not missing, f"the store's meta lacks {missing}"
        if is_live(folder):
            raise ValueError(
                f"{display_path(folder)} is being added to by another process: wait for it"
            )
        self.folder = folder
        self.meta = meta
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def next_shard(self) -> int:
        """The number of the first shard that is written here."""
        return 0

    def write_shard(self, index: int, episodes: list[Episode], splits: list[str]) -> dict[str, Any]:
        """Write one shard, in this process; a worker process calls the module's `write_shard`."""
        return write_shard(self.folder, index, episodes, splits)

    def finished_shards(self) -> set[int]:
        """Indices of the shards that are whole on the disk."""
        return set(arrays.finished_shards(self.folder, STORE_COLUMNS))

    def finish(self) -> Path:
        """Join the shards' tables into manifest.json, written last; returns its path.

        A store that is finished already, and may have grown since, stays as it is.
        """
        if (self.folder / "manifest.json").is_file():
            return self.folder / "manifest.json"
        marks = list(arrays.finished_shards(self.folder, STORE_COLUMNS).values())
        indices = [mark["index"] for mark in marks]
        numbers = range(self.next_shard, self.next_shard + len(marks))
        whole = bool(indices) and indices == list(numbers)
        assert whole, f"shards are missing, finished are {indices}"
        return arrays.write_manifest(self.folder, self.manifest_of(marks))

    def manifest_of(self, marks: list[dict[str, Any]]) -> dict[str, Any]:
        """The manifest of a store with the shards of these commit marks."""
        return {
            "kind": STORE_KIND,
            "schema": STORE_SCHEMA,
            **self.meta,
            "episodes": [row for mark in marks for row in mark["episodes"]],
            "shards": [arrays.manifest_entry(mark) for mark in marks],
        }


@dataclass(frozen=True)
class EpisodeRow:
    """Where one episode lies in a shard.

    Its length+1 rows go from start to start+length, which holds its last frame.
    """

    index: int
    seed: int
    shard: int
    start: int
    # transitions
    length: int
    total_return: float
    # "train" or "validation"
    split: str


@dataclass(frozen=True)
class ShardArrays:
    """The four arrays of a shard, memory-mapped, N rows; fields as in Episode."""

    # (N, H, W, C)
    frames: npt.NDArray[np.uint8]
    # (N, A) or (N,)
    actions: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    # (N,)
    rewards: npt.NDArray[np.float32]
    # (N,)
    done: npt.NDArray[np.uint8]


def row_layouts(spec: EnvSpec) -> dict[str, Layout]:
    """Type and shape of one row of each column."""
    size = spec.preprocessing.size
    rows: dict[str, tuple[Any, tuple[int, ...]]] = {
        "frames": (np.uint8, (size, size, spec.preprocessing.channels)),
        "actions": (spec.action_space.dtype, spec.action_space.shape),
        "rewards": (np.float32, ()),
        "done": (np.uint8, ()),
    }
    return {column: (np.dtype(dtype), shape) for column, (dtype, shape) in rows.items()}


def open_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """The manifest of a finished store and the SHA-256 of its bytes."""
    return read_manifest(path, STORE_KIND, (STORE_SCHEMA,), STORE_REMEDY)


class EpisodeStore(ShardedFolder):
    """A finished store as it was when it was opened, read through memory maps."""

    columns = STORE_COLUMNS

    def __init__(self, folder: Path, manifest: dict[str, Any], digest: str) -> None:
        super().__init__(folder, manifest, digest)
        self.has_final_frame: bool = manifest["has_final_frame"]
        self.rows = [_episode_row(index, row) for index, row in enumerate(manifest["episodes"])]

    @classmethod
    def open(cls, folder: Path) -> "EpisodeStore":
        """The store in `folder`.

        ValueError naming the file where it is unfinished, or a file is missing or truncated.
        """
        return cls.at(folder / "manifest.json")

    @classmethod
    def at(cls, manifest: Path) -> "EpisodeStore":
        """The store as one of its manifests has it: the present one, or one kept when it grew."""
        is_kept = manifest.parent.name == KEPT_FOLDER and manifest.name != "manifest.json"
        folder = manifest.parent.parent if is_kept else manifest.parent
        content, digest = open_manifest(manifest)
        require_store(content, STORE_COLUMNS, manifest)
        return cls(folder, content, digest)

    def accepts(self, column: str, dtype: np.dtype[Any], row: tuple[int, ...]) -> bool:
        """See ShardedFolder."""
        return (column, dtype.name, len(row)) in ROW_KINDS

    def require_layouts(self) -> None:
        """Rows of other types or shapes than those of the environment are a ValueError."""
        for column, layout in row_layouts(self.env).items():
            for shard in self.shards():
                array = self.maps(shard)[STORE_COLUMNS.index(column)]
                if (array.dtype, array.shape[1:]) != layout:
                    path = self.folder / f"{shard_name(shard, column)}.npy"
                    held = f"{array.dtype} {array.shape[1:]}"
                    raise damaged(path, f"its rows are {held}, and env has {layout[0]} {layout[1]}")

    @property
    def env(self) -> EnvSpec:
        """What was played."""
        return spec_of(self.manifest["env"], self.folder / "manifest.json")

    def verify(self) -> None:
        """Read every file.

        ValueError for one altered since it was written: it names the file and its episodes.
        """
        for path, shard in self.altered():
            affected = [row.index for row in self.rows if row.shard == shard]
            raise ValueError(
                f"{path} has changed since it was written (its SHA-256 differs), "
                f"so episodes {affected[0]} to {affected[-1]} cannot be trusted: "
                "restore the file or collect the episodes again"
            )
        self._require_returns()

    def _require_returns(self) -> None:
        """The return of every episode is the sum of its rewards."""
        for row in self.rows:
            rewards = self.arrays(row.shard).rewards[row.start : row.start + row.length]
            total = rewards.sum(dtype=np.float64)
            if not is_return(total, row.total_return):
                path = self.folder / "manifest.json"
                raise damaged(path, f"episodes[{row.index}].return is not the sum {total}")

    def episodes(self, split: str | None = None) -> list[EpisodeRow]:
        """The episodes of one split, or all, in the order they were collected."""
        assert split is None or split in SPLITS, split
        return [row for row in self.rows if split is None or row.split == split]

    def split_again(self, val_ratio: float) -> "EpisodeStore":
        """The same episodes, of which the last `val_ratio` are for validation, whatever they were.

        ValueError where there is one level, or a limited range of them: episodes of both splits
        would share levels.
        """
        check_new_split(self.env, f"the episodes of {self.folder}")
        again = EpisodeStore(self.folder, self.manifest, self.digest())
        splits = split_episodes(len(self.rows), val_ratio)
        again.rows = [
            replace(row, split=split) for row, split in zip(self.rows, splits, strict=True)
        ]
        return again

    @property
    def newest(self) -> int:
        """The first episode of those that were added last; 0 where none were."""
        additions = self.manifest.get("additions", [])
        return int(additions[-1]["first_episode"]) if additions else 0

    def beginning(self) -> "EpisodeStore":
        """The same store with the episodes alone that were there before any were added."""
        additions = self.manifest.get("additions", [])
        first = EpisodeStore(self.folder, self.manifest, self.digest())
        if additions:
            first.rows = first.rows[: additions[0]["first_episode"]]
        return first

    def num_frames(self, split: str | None = None) -> int:
        """Number of frames to train on: without valid final frames, one per transition."""
        return sum(row.length + self.has_final_frame for row in self.episodes(split))

    def arrays(self, shard: int) -> ShardArrays:
        """The memory-mapped arrays of one shard, read only."""
        return ShardArrays(*self.maps(shard))

    def episode(self, row: EpisodeRow) -> Episode:
        """One episode as views of its shard."""
        shard = self.arrays(row.shard)
        part = slice(row.start, row.start + row.length + 1)
        return Episode(
            seed=row.seed,
            frames=shard.frames[part],
            actions=shard.actions[part],
            rewards=shard.rewards[part],
            done=shard.done[part],
        )


def _episode_row(index: int, row: dict[str, Any]) -> EpisodeRow:
    """An entry of the manifest's episode table as an EpisodeRow."""
    place = {key: row[key] for key in ("seed", "shard", "start", "length", "split")}
    return EpisodeRow(index=index, total_return=row["return"], **place)
