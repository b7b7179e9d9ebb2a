"""What a model makes of every frame of an episode store: latents, or tokens.

They lie in a folder of their own, shard by shard as the store, and are keyed by the model and by
the frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from world_models.data import arrays
from world_models.data.arrays import Array, ShardedFolder
from world_models.data.manifests import shard_name
from world_models.data.store import EpisodeStore
from world_models.runs.parsing import damaged

ENCODE_BATCH_SIZE = 64
"""Frames that a model encodes at a time.

With 256 its intermediate values are so large that glibc hands their memory back to the system after
each batch. A quarter of the time then goes into fetching it again.
"""

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded, and what manifest and commit marks say of it."""

    kind: str
    schema: int
    # the model by what it is, and the SHA-256 of its checkpoint
    maker: str
    digest: str
    columns: tuple[str, ...]
    # frames (N, H, W, C) of the file at a path -> the columns, N rows each, and their sizes by name
    encode: Callable[[Frames, Path], tuple[dict[str, Array], dict[str, Any]]]
    # names of the sizes
    sizes: tuple[str, ...]

    def key(self, store: EpisodeStore, shard: int) -> dict[str, str]:
        """What a shard of them follows from: the model, and the bytes of the frames."""
        return {self.maker: self.digest, "frames": store.file_digest(shard, "frames")}

    def manifest(self, store: EpisodeStore, marks: list[dict[str, Any]]) -> dict[str, Any]:
        """The manifest of encoded shards."""
        shards = [
            {**arrays.manifest_entry(mark), "frames": store.file_digest(mark["index"], "frames")}
            for mark in marks
        ]
        return {
            "kind": self.kind,
            "schema": self.schema,
            self.maker: self.digest,
            **{name: marks[0][name] for name in self.sizes},
            "shards": shards,
        }


def write_encoded(
    encoding: Encoding,
    store: EpisodeStore,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    earlier_key: dict[str, str] | None = None,
) -> Path:
    """Encode every row of `store`; returns the manifest's path.

    A shard that this model has encoded already, from the same frames, is kept. So an interrupted
    call resumes, and a grown store costs its new shards alone. `progress` is told the number of
    frames after each shard. Shards with the `earlier_key` of an earlier version are kept, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = arrays.finished_shards(folder, encoding.columns)
    keys = {shard: encoding.key(store, shard) for shard in store.shards()}
    kept = {
        shard: mark
        for shard, mark in finished.items()
        if shard in keys and mark["key"] in (keys[shard], earlier_key)
    }
    if any(shard not in kept for shard in finished):
        # one of them is written anew: until all are whole there is no finished encoding
        (folder / "manifest.json").unlink(missing_ok=True)
    marks = []
    for shard, key in keys.items():
        mark = kept.get(shard) or _encode_shard(encoding, store, folder, shard, key)
        marks.append(mark)
        if progress is not None:
            progress(mark["rows"])
    return arrays.write_manifest(folder, encoding.manifest(store, marks))


def _encode_shard(
    encoding: Encoding, store: EpisodeStore, folder: Path, shard: int, key: dict[str, str]
) -> dict[str, Any]:
    """Encode one shard, write its arrays and then its commit mark."""
    path = store.folder / f"{shard_name(shard, 'frames')}.npy"
    values, sizes = encoding.encode(store.arrays(shard).frames, path)
    columns = {name: [values[name]] for name in encoding.columns}
    return arrays.write_shard(folder, shard, columns, {**sizes, "key": key})


class EncodedFolder(ShardedFolder):
    """A finished encoding, read through memory maps; its rows lie as the episode store's rows."""

    def verify(self) -> None:
        """Read every file; one altered since it was written is a ValueError naming it."""
        for path, _ in self.altered():
            raise ValueError(
                f"{path} has changed since it was written (its SHA-256 differs): restore it, or "
                f"delete {self.folder} and encode again"
            )

    def require_rows_of(self, store: EpisodeStore) -> None:
        """Shards with another number of rows than the store's are a ValueError."""
        theirs = store.rows_by_shard()
        if any(theirs.get(shard, rows) != rows for shard, rows in self.rows_by_shard().items()):
            path = self.folder / "manifest.json"
            raise damaged(path, f"its shards have not as many rows as those of {store.folder}")


def require_maker(folder: Path, found: str, needed: str, what: str, remedy: str) -> None:
    """An encoding by another model than that of the SHA-256 `needed` is a ValueError."""
    if found != needed:
        raise ValueError(
            f"{folder} was made by another {what} ({found[:12]} where {needed[:12]} is needed): "
            f"{remedy}"
        )


def require_encoded(
    folder: Path, missing: list[int], store: EpisodeStore, what: str, remedy: str
) -> None:
    """Shards of a store of which there is no encoding are a ValueError."""
    if missing:
        raise ValueError(
            f"{folder} has no {what} of {_numbers_of(missing)} of {store.folder}, whose "
            f"frames were added or have changed since: {remedy}"
        )


def missing_shards(manifest: dict[str, Any], store: EpisodeStore) -> list[int]:
    """The shards of `store` whose frames a manifest does not have."""
    encoded = {shard["index"]: shard["frames"] for shard in manifest["shards"]}
    return [
        shard
        for shard in store.shards()
        if encoded.get(shard) != store.file_digest(shard, "frames")
    ]


def _numbers_of(numbers: list[int]) -> str:
    """For people: at most three shards by their numbers."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}"
    more = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
    return f"shards {', '.join(map(str, numbers[:3]))}{more}"
