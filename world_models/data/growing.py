"""How a finished episode store grows: by whole shards, valid for its readers at every moment.

It grows in its folder (`StoreAppender`), or into a new store that begins with its shards
(`StoreExtender`).
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from world_models.data import arrays
from world_models.data.episode import Episode
from world_models.data.manifests import shard_name
from world_models.data.store import (
    META_KEYS,
    STORE_COLUMNS,
    EpisodeStore,
    StoreWriter,
    open_manifest,
    write_shard,
)
from world_models.runs.files import keep_version, remove_leftovers, replacing
from world_models.runs.folder import display_path, locked

FIXED_KEYS = ("env", "backend", "has_final_frame")
"""Of the store's meta, what all of its episodes have in common."""
ORIGIN_KEYS = tuple(key for key in META_KEYS if key not in FIXED_KEYS)
"""Of the store's meta, what may differ from one addition to the next."""


CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES)
"""Why a file cannot have a second name: on another disk, or where there are no such links."""


class StoreAppender:
    """The only writer of a finished store; `StoreAppender.open` makes one.

    Shards are numbered on. They are written whole, and no reader sees them before `commit` puts a
    new manifest in place of the old one. Earlier shards are never touched.
    """

    def __init__(self, store: EpisodeStore, origin: dict[str, Any]) -> None:
        """`origin` says where the new episodes come from: policy, seed, versions."""
        self.store = store
        self.origin = origin

    @classmethod
    @contextmanager
    def open(cls, folder: Path, meta: dict[str, Any]) -> Iterator["StoreAppender"]:
        """Continue the store in `folder`; `meta` describes the new episodes (StoreWriter's keys).

        ValueError for another env, backend or has_final_frame, and where the store is unfinished or
        being written by another process. What a killed writer left uncommitted is deleted.
        """
        missing = [key for key in META_KEYS if key not in meta]
        assert not missing, f"the meta of the new episodes lacks {missing}"
        open_manifest(folder / "manifest.json")
        with locked(folder):
            store = EpisodeStore.open(folder)
            _refuse_others(store, meta)
            _remove_uncommitted(store)
            yield cls(store, {key: meta[key] for key in ORIGIN_KEYS})

    @property
    def next_shard(self) -> int:
        """The number of the first shard that is not committed."""
        return len(self.store.shards())

    def write_shard(self, index: int, episodes: list[Episode], splits: list[str]) -> dict[str, Any]:
        """Write a shard in this process; a worker calls `write_shard` of data/store.py."""
        if index < self.next_shard:
            raise ValueError(
                f"{display_path(self.store.folder)} has a shard {index} already: "
                f"new ones are numbered from {self.next_shard}"
            )
        return write_shard(self.store.folder, index, episodes, splits)

    def commit(self) -> EpisodeStore:
        """Add the whole shards that follow without a gap; returns the grown store.

        The manifest as it was is kept: runs that were built on it go on with it.
        """
        marks = list(self._following())
        if marks:
            manifest = _grown(self.store.manifest, marks, self.origin)
            keep_version(self.store.folder / "manifest.json")
            arrays.write_manifest(self.store.folder, manifest)
            self.store = EpisodeStore.open(self.store.folder)
        return self.store

    def _following(self) -> Iterator[dict[str, Any]]:
        """Commit marks of the shards that are to be added."""
        for index in count(self.next_shard):
            mark = self.store.folder / f"{shard_name(index)}.json"
            if not mark.is_file():
                return
            yield arrays.read_mark(mark, STORE_COLUMNS)


class StoreExtender(StoreWriter):
    """Writes a new store that begins with the shards of a finished one.

    The other stays as it is. Their files are one on the disk, where both lie on the same (hard
    links: no file of a store is ever changed), and else copied. New shards are numbered on.
    """

    def __init__(self, folder: Path, meta: dict[str, Any], begins_with: EpisodeStore) -> None:
        """`meta` describes the new episodes (StoreWriter's keys).

        ValueError for another env, backend or has_final_frame than the other store's.
        """
        _refuse_others(begins_with, meta)
        super().__init__(folder, meta)
        self.begins_with = begins_with
        for shard in begins_with.manifest["shards"]:
            for name in shard["files"]:
                _share(begins_with.folder / name, folder / name)

    @property
    def next_shard(self) -> int:
        """The number of the first new shard."""
        return len(self.begins_with.shards())

    def manifest_of(self, marks: list[dict[str, Any]]) -> dict[str, Any]:
        """See StoreWriter."""
        origin = {key: self.meta[key] for key in ORIGIN_KEYS}
        return _grown(self.begins_with.manifest, marks, origin, noted=True)


def _share(path: Path, other: Path) -> None:
    """Give a file that never changes a second name, or a copy on another disk."""
    if other.is_file():
        return
    try:
        other.hardlink_to(path.resolve())
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        with path.open("rb") as source, replacing(other) as target:
            shutil.copyfileobj(source, target)


def _refuse_others(store: EpisodeStore, meta: dict[str, Any]) -> None:
    for key in FIXED_KEYS:
        if store.manifest[key] != meta[key]:
            raise ValueError(
                f"{display_path(store.folder)} cannot take these episodes: its {key} is "
                f"{store.manifest[key]}, theirs {meta[key]}; make a store of their own for them"
            )


def _remove_uncommitted(store: EpisodeStore) -> None:
    """Delete shards that are not in the manifest, their marks first, and half-written files."""
    committed = {shard_name(shard) for shard in store.shards()}
    marks_first = sorted(
        store.folder.glob("shard_?????*"), key=lambda path: (path.suffix != ".json", path)
    )
    for path in marks_first:
        ours = re.fullmatch(r"shard_\d{5}(_\w+)?\.(npy|json)", path.name)
        if ours and path.name[: len(shard_name(0))] not in committed:
            path.unlink()
    remove_leftovers(store.folder)


def _grown(
    manifest: dict[str, Any],
    marks: list[dict[str, Any]],
    origin: dict[str, Any],
    noted: bool = False,
) -> dict[str, Any]:
    """The manifest with the shards of `marks`.

    Where their origin is another than that of the episodes before, or where it is to be `noted`,
    an entry of `additions` says it, and from which episode on.
    """
    episodes = [row for mark in marks for row in mark["episodes"]]
    shards = [arrays.manifest_entry(mark) for mark in marks]
    grown = {
        **manifest,
        "episodes": [*manifest["episodes"], *episodes],
        "shards": [*manifest["shards"], *shards],
    }
    additions = manifest.get("additions", [])
    latest = additions[-1] if additions else manifest
    if noted or any(latest[key] != origin[key] for key in ORIGIN_KEYS):
        addition = {"first_episode": len(manifest["episodes"]), **origin}
        grown["additions"] = [*additions, addition]
    return grown
