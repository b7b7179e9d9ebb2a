"""Latents of an episode store; those of each shard are keyed by the VAE and the frames."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data import arrays
from world_models.data.arrays import Array
from world_models.data.encoded import (
    ENCODE_BATCH_SIZE,
    EncodedFolder,
    Encoding,
    Frames,
    missing_shards,
    require_encoded,
    require_maker,
    write_encoded,
)
from world_models.data.gathering import gather_runs
from world_models.data.manifests import LatentsManifest, OldLatentsManifest, require_shards
from world_models.data.store import EpisodeStore
from world_models.runs.parsing import require

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
    its checkpoint. What is there already is kept, see `write_encoded`. Latents that are not finite
    are a ValueError. Returns the manifest's path.
    """
    encoding = Encoding(
        LATENTS_KIND,
        LATENTS_SCHEMA,
        maker="vae",
        digest=vae,
        columns=LATENT_COLUMNS,
        encode=partial(_latents, encode, batch_size),
        sizes=("latent_size",),
    )
    # the key of all shards, in an earlier version
    before = {"vae": vae, "data": store.digest()}
    return write_encoded(encoding, store, folder, progress, before)


def _latents(
    encode: Encode, batch_size: int, frames: Frames, path: Path
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The two arrays of a shard, and the latents' size; `path` is that of the frames."""
    latents = dict(zip(LATENT_COLUMNS, _encoded(encode, frames, batch_size), strict=True))
    for part, values in latents.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"the VAE's {part} is not finite for {path}: train it again with a smaller "
                "learning rate"
            )
    return latents, {"latent_size": latents["mu"].shape[1]}


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


class LatentStore(EncodedFolder):
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
        require_maker(folder, manifest["vae"], vae, "VAE", LATENTS_REMEDY)
        if is_old:
            missing = [] if manifest["data"] == store.digest() else store.shards()
        else:
            missing = missing_shards(manifest, store)
        remedy = f"{LATENTS_REMEDY}, or set stage.latents=online"
        require_encoded(folder, missing, store, "latents", remedy)
        latents = cls(folder, manifest, digest)
        latents.require_rows_of(store)
        return latents

    def accepts(self, column: str, dtype: np.dtype[Any], row: tuple[int, ...]) -> bool:
        """See ShardedFolder."""
        return dtype == np.float32 and row == (self.manifest["latent_size"],)

    def arrays(self, shard: int) -> tuple[Floats, Floats]:
        """The memory-mapped mu and logsigma (N, L) of one shard, read only."""
        mu, logsigma = self.maps(shard)
        return mu, logsigma

    def gather(self, shards: Array, rows: Array) -> tuple[Tensor, Tensor]:
        """See LatentSource."""
        mu, logsigma = gather_runs(self.arrays, shards, rows)
        return torch.from_numpy(mu), torch.from_numpy(logsigma)
