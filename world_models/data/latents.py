"""Latents of an episode store; those of each shard are keyed by the VAE and the frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data import arrays
from world_models.data.arrays import Array, ShardedFolder
from world_models.data.gathering import gather_runs
from world_models.data.manifests import (
    LatentsManifest,
    OldLatentsManifest,
    require_shards,
    shard_name,
)
from world_models.data.store import EpisodeStore
from world_models.runs.parsing import damaged, require

LATENTS_KIND = "latents"
LATENTS_SCHEMA = 2
OLD_LATENTS_SCHEMA = 1
"""Its manifest has the digest of the whole store (`data`), not the hash of each shard's frames."""
LATENT_COLUMNS = ("mu", "logsigma")
LATENTS_REMEDY = "finish the vae stage, which encodes the episodes, or resume its run folder"

READ_BYTES = 1 << 20
"""Latents are read in pieces of about this size.

It is small enough for a cache, and large enough not to count the calls.
"""

ENCODE_BATCH_SIZE = 64
"""Frames that V encodes at a time.

With 256 its intermediate values are so large that glibc hands their memory back to the system after
each batch. A quarter of the time then goes into fetching it again.
"""

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
Floats = npt.NDArray[np.float32]


def encode_store(
    encode: Encode,
    store: EpisodeStore,
    folder: Path,
    vae: str,
    batch_size: int = ENCODE_BATCH_SIZE,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Encode every row of `store` and write mu and logsigma (N, L) float32 per shard.

    `encode` takes frames (B, H, W, C) uint8 and gives mu, logsigma (B, L). `vae` is the SHA-256 of
    its checkpoint. A shard that this VAE has encoded already, from the same frames, is kept. So an
    interrupted call resumes, and a grown store costs its new shards alone. `progress` is told the
    number of frames after each shard. Latents that are not finite are a ValueError. Returns the
    manifest's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = arrays.finished_shards(folder, LATENT_COLUMNS)
    keys = {shard: _shard_key(store, shard, vae) for shard in store.shards()}
    # the key of all shards, in an earlier version
    before = {"vae": vae, "data": store.digest()}
    kept = {
        shard: mark
        for shard, mark in finished.items()
        if shard in keys and mark["key"] in (keys[shard], before)
    }
    if any(shard not in kept for shard in finished):
        # one of them is written anew: until all are whole there are no finished latents
        (folder / "manifest.json").unlink(missing_ok=True)
    marks = []
    for shard, key in keys.items():
        mark = kept.get(shard) or _encode_shard(encode, store, folder, shard, key, batch_size)
        marks.append(mark)
        if progress is not None:
            progress(mark["rows"])
    return arrays.write_manifest(folder, _manifest(store, vae, marks))


def _shard_key(store: EpisodeStore, shard: int, vae: str) -> dict[str, str]:
    """What a shard's latents follow from: the VAE, and the bytes of the frames."""
    return {"vae": vae, "frames": store.file_digest(shard, "frames")}


def _manifest(store: EpisodeStore, vae: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
    """The manifest of encoded shards."""
    shards = [
        {**arrays.manifest_entry(mark), "frames": store.file_digest(mark["index"], "frames")}
        for mark in marks
    ]
    return {
        "kind": LATENTS_KIND,
        "schema": LATENTS_SCHEMA,
        "vae": vae,
        "latent_size": marks[0]["latent_size"],
        "shards": shards,
    }


def _encode_shard(
    encode: Encode,
    store: EpisodeStore,
    folder: Path,
    shard: int,
    key: dict[str, str],
    batch_size: int,
) -> dict[str, Any]:
    """Encode one shard, write its two arrays and then its commit mark."""
    encoded = _encoded(encode, store.arrays(shard).frames, batch_size)
    latents = dict(zip(LATENT_COLUMNS, encoded, strict=True))
    for part, values in latents.items():
        if not np.isfinite(values).all():
            frames = store.folder / f"{shard_name(shard, 'frames')}.npy"
            raise ValueError(
                f"the VAE's {part} is not finite for {frames}: train it again with a smaller "
                "learning rate"
            )
    columns = {part: [values] for part, values in latents.items()}
    extra = {"latent_size": latents["mu"].shape[1], "key": key}
    return arrays.write_shard(folder, shard, columns, extra)


@torch.no_grad()
def _encoded(encode: Encode, frames: npt.NDArray[np.uint8], batch_size: int) -> Floats:
    """mu and logsigma (2, N, L) of frames (N, H, W, C).

    They go into one array. Kept batch by batch, each would lie on the heap above the last batch's
    large intermediate values, and the heap would grow by those. The device is waited for once.
    """
    for start in range(0, len(frames), batch_size):
        mu, logsigma = encode(torch.from_numpy(frames[start : start + batch_size].copy()))
        if start == 0:
            latents = torch.empty(2, len(frames), mu.shape[1], device=mu.device)
        latents[0, start : start + batch_size] = mu
        latents[1, start : start + batch_size] = logsigma
    return latents.cpu().numpy()


class LatentSource(Protocol):
    """Where the latents of an episode store's rows come from."""

    latent_size: int
    # so many rows are worth asking for at once
    cheap_rows: int

    def gather(self, shards: Array, rows: Array) -> tuple[Tensor, Tensor]:
        """mu and logsigma (B, R, L) float32 of the ascending rows (B, R) of one shard each (B,)."""


class OnlineLatents:
    """Latents made from the frames when they are asked for: nothing is stored, V runs each time."""

    def __init__(
        self,
        store: EpisodeStore,
        encode: Encode,
        latent_size: int,
        batch_size: int = ENCODE_BATCH_SIZE,
    ) -> None:
        """`encode` as for `encode_store`, which encodes as many frames at a time."""
        self.store = store
        self.encode = encode
        self.latent_size = latent_size
        self.batch_size = batch_size
        # each step by itself: where a run was resumed must not change what V encodes together
        self.cheap_rows = 0

    @torch.no_grad()
    def gather(self, shards: Array, rows: Array) -> tuple[Tensor, Tensor]:
        """See LatentSource; on the device of `encode`."""
        (frames,) = gather_runs(lambda shard: (self.store.arrays(shard).frames,), shards, rows)
        chunks = torch.from_numpy(frames).flatten(0, 1).split(self.batch_size)
        encoded = zip(*map(self.encode, chunks), strict=True)
        mu, logsigma = (torch.cat(parts).float() for parts in encoded)
        return mu.unflatten(0, rows.shape), logsigma.unflatten(0, rows.shape)


class LatentStore(ShardedFolder):
    """Finished latents, read through memory maps; their rows lie as the episode store's rows."""

    columns = LATENT_COLUMNS

    def __init__(self, folder: Path, manifest: dict[str, Any], digest: str) -> None:
        super().__init__(folder, manifest, digest)
        self.latent_size: int = manifest["latent_size"]
        self.cheap_rows = READ_BYTES // (2 * 4 * self.latent_size)

    @classmethod
    def open(cls, folder: Path, vae: str, store: EpisodeStore) -> "LatentStore":
        """The latents in `folder`, which the VAE of this SHA-256 made from the frames of `store`.

        ValueError where they are of another VAE or of other frames, unfinished or truncated.
        """
        schemas = (OLD_LATENTS_SCHEMA, LATENTS_SCHEMA)
        path = folder / "manifest.json"
        manifest, digest = arrays.read_manifest(path, LATENTS_KIND, schemas, LATENTS_REMEDY)
        is_old = manifest["schema"] == OLD_LATENTS_SCHEMA
        require(OldLatentsManifest if is_old else LatentsManifest, manifest, path)
        require_shards(manifest["shards"], LATENT_COLUMNS, path)
        if manifest["vae"] != vae:
            raise ValueError(
                f"{folder} was made by another VAE ({manifest['vae'][:12]} where {vae[:12]} is "
                f"needed): {LATENTS_REMEDY}"
            )
        missing = _missing_shards(manifest, store)
        if missing:
            raise ValueError(
                f"{folder} has no latents of {_numbers_of(missing)} of {store.folder}, whose "
                f"frames were added or have changed since: {LATENTS_REMEDY}, "
                "or set stage.latents=online"
            )
        latents = cls(folder, manifest, digest)
        theirs = store.rows_by_shard()
        if any(theirs.get(shard, rows) != rows for shard, rows in latents.rows_by_shard().items()):
            raise damaged(path, f"its shards have not as many rows as those of {store.folder}")
        return latents

    def accepts(self, column: str, dtype: np.dtype[Any], row: tuple[int, ...]) -> bool:
        """See ShardedFolder."""
        return dtype == np.float32 and row == (self.manifest["latent_size"],)

    def verify(self) -> None:
        """Read every file; one altered since it was written is a ValueError naming it."""
        for path, _ in self.altered():
            raise ValueError(
                f"{path} has changed since it was written (its SHA-256 differs): restore it, or "
                f"delete {self.folder} and encode again"
            )

    def arrays(self, shard: int) -> tuple[Floats, Floats]:
        """The memory-mapped mu and logsigma (N, L) of one shard, read only."""
        mu, logsigma = self.maps(shard)
        return mu, logsigma

    def gather(self, shards: Array, rows: Array) -> tuple[Tensor, Tensor]:
        """See LatentSource."""
        mu, logsigma = gather_runs(self.arrays, shards, rows)
        return torch.from_numpy(mu), torch.from_numpy(logsigma)


def _missing_shards(manifest: dict[str, Any], store: EpisodeStore) -> list[int]:
    """The shards of `store` of whose frames there are no latents."""
    if manifest["schema"] == OLD_LATENTS_SCHEMA:
        return [] if manifest["data"] == store.digest() else store.shards()
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
