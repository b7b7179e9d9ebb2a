"""Tokens of an episode store; those of each shard are keyed by the tokenizer and the frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from world_models.data.manifests import TokensManifest, require_shards
from world_models.data.store import EpisodeStore
from world_models.runs.parsing import damaged, require

TOKENS_KIND = "tokens"
TOKENS_SCHEMA = 1
TOKEN_COLUMNS = ("tokens",)
TOKENS_REMEDY = "finish the tokenizer stage, which encodes the episodes, or resume its run folder"

Encode = Callable[[Tensor], Tensor]
Tokens = npt.NDArray[np.int16]


def write_tokens(
    encode: Encode,
    vocabulary: int,
    store: EpisodeStore,
    folder: Path,
    tokenizer: str,
    batch_size: int = ENCODE_BATCH_SIZE,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Encode every row of `store` and write tokens (N, gh, gw) int16 per shard.

    `encode` takes frames (B, H, W, C) uint8 and gives tokens (B, gh, gw) in [0, vocabulary).
    `tokenizer` is the SHA-256 of its checkpoint. What is there already is kept, see
    `write_encoded`. Returns the manifest's path.
    """

    def encoded(frames: Frames, path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
        tokens = _encoded(encode, frames, batch_size)
        sizes = {"vocabulary": vocabulary, "grid": list(tokens.shape[1:])}
        return {"tokens": tokens}, sizes

    encoding = Encoding(
        TOKENS_KIND,
        TOKENS_SCHEMA,
        maker="tokenizer",
        digest=tokenizer,
        columns=TOKEN_COLUMNS,
        encode=encoded,
        sizes=("vocabulary", "grid"),
    )
    return write_encoded(encoding, store, folder, progress)


@torch.no_grad()
def _encoded(encode: Encode, frames: Frames, batch_size: int) -> Tokens:
    """Tokens (N, gh, gw) of frames (N, H, W, C), in one array for the reason that latents are."""
    for start in range(0, len(frames), batch_size):
        part = encode(torch.from_numpy(frames[start : start + batch_size].copy()))
        if start == 0:
            tokens = torch.empty(len(frames), *part.shape[1:], dtype=torch.short)
        tokens[start : start + batch_size] = part
    return tokens.numpy()


class TokenStore(EncodedFolder):
    """Finished tokens, read through memory maps; their rows lie as the episode store's rows."""

    columns = TOKEN_COLUMNS

    def __init__(self, folder: Path, manifest: dict[str, Any], digest: str) -> None:
        super().__init__(folder, manifest, digest)
        self.vocabulary: int = manifest["vocabulary"]
        rows, columns = manifest["grid"]
        self.grid: tuple[int, int] = (rows, columns)

    @classmethod
    def open(cls, folder: Path, tokenizer: str, store: EpisodeStore) -> "TokenStore":
        """The tokens in `folder`, which the tokenizer of this SHA-256 made of the store's frames.

        ValueError where they are of another tokenizer or of other frames, unfinished or truncated.
        """
        path = folder / "manifest.json"
        manifest, digest = arrays.read_manifest(path, TOKENS_KIND, (TOKENS_SCHEMA,), TOKENS_REMEDY)
        require(TokensManifest, manifest, path)
        require_shards(manifest["shards"], TOKEN_COLUMNS, path)
        require_maker(folder, manifest["tokenizer"], tokenizer, "tokenizer", TOKENS_REMEDY)
        missing = missing_shards(manifest, store)
        require_encoded(folder, missing, store, "tokens", TOKENS_REMEDY)
        tokens = cls(folder, manifest, digest)
        tokens.require_rows_of(store)
        return tokens

    def accepts(self, column: str, dtype: np.dtype[Any], row: tuple[int, ...]) -> bool:
        """See ShardedFolder."""
        return dtype == np.int16 and row == tuple(self.manifest["grid"])

    def verify(self) -> None:
        """Read every file: as EncodedFolder, and every token is one of the vocabulary."""
        super().verify()
        for shard in self.shards():
            tokens = self.arrays(shard)
            if tokens.min() < 0 or tokens.max() >= self.vocabulary:
                path = self.folder / "manifest.json"
                raise damaged(path, f"shard {shard} has tokens outside of its vocabulary")

    def arrays(self, shard: int) -> Tokens:
        """The memory-mapped tokens (N, gh, gw) of one shard, read only."""
        (tokens,) = self.maps(shard)
        return tokens

    def gather(self, shards: Array, rows: Array) -> Tensor:
        """Tokens (B, R, gh, gw) int64 of the ascending rows (B, R) of one shard each (B,)."""
        (tokens,) = gather_runs(self.maps, shards, rows)
        return torch.from_numpy(tokens).long()
