"""What manifests and commit marks of stores and latents say, checked before an array is touched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field

from world_models.data.episode import UNKNOWN_SEED
from world_models.runs.parsing import Count, Stored, Text, damaged, require
from world_models.runs.stored_env import EnvFields

STORE_COLUMNS = ("frames", "actions", "rewards", "done")

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(ge=1, lt=1 << 40)]
Index = Annotated[int, Field(ge=0, lt=1 << 40)]


class Shard(Stored):
    """An entry of `shards`, and what every commit mark has."""

    index: Index
    rows: Positive
    files: dict[Text, Digest]


class EpisodeEntry(Stored):
    """An entry of the table of episodes."""

    seed: int = Field(ge=UNKNOWN_SEED, lt=1 << 63)
    shard: Index
    start: Index
    length: Positive
    total_return: float = Field(alias="return")
    split: Literal["train", "validation"]
    crc32: dict[Text, Count] = Field({})


Episodes = Annotated[list[EpisodeEntry], FailFast(), Field(min_length=1)]


class _Addition(Stored):
    first_episode: Positive
    policy: Text
    seed: int
    versions: dict[str, Any]


class StoreOutline(Stored):
    """manifest.json of a store, its table of episodes not looked into."""

    env: EnvFields
    backend: Text
    policy: Text
    seed: int
    has_final_frame: bool
    versions: dict[str, Any]
    episodes: list[dict[str, Any]] = Field(min_length=1)
    shards: Annotated[list[Shard], FailFast(), Field(min_length=1)]
    additions: list[dict[str, Any]] = Field([])


class _Tables(Stored):
    episodes: Episodes
    additions: list[_Addition] = Field([])


class EpisodesMark(Shard):
    """The commit mark of a store's shard."""

    episodes: Episodes


class _EncodedShard(Shard):
    frames: Text


class _Latents(Stored):
    vae: Text
    latent_size: int = Field(ge=1, le=1 << 20)


class LatentsManifest(_Latents):
    """manifest.json of latents."""

    shards: Annotated[list[_EncodedShard], FailFast(), Field(min_length=1)]


class OldLatentsManifest(_Latents):
    """The same of an earlier version: with the digest of the whole store."""

    data: Text
    shards: Annotated[list[Shard], FailFast(), Field(min_length=1)]


class LatentsMark(Shard):
    """The commit mark of a shard's latents."""

    latent_size: int = Field(ge=1, le=1 << 20)
    key: dict[Text, Text]


def require_shards(
    shards: Sequence[dict[str, Any]], columns: Sequence[str], place: str | Path
) -> None:
    """Each shard once, with one file for each column, or it is a ValueError."""
    for number, shard in enumerate(shards):
        index = shard["index"]
        wanted = {f"shard_{index:05d}_{column}.npy" for column in columns}
        if {*shard["files"]} != wanted:
            raise damaged(place, f"shards[{number}].files are not {', '.join(sorted(wanted))}")
    found = [shard["index"] for shard in shards]
    if len({*found}) != len(found):
        raise damaged(place, "two of its shards have one index")


def require_outline(manifest: dict[str, Any], columns: Sequence[str], path: Path) -> None:
    """A store's manifest whose fields and shards can be relied on, or a ValueError."""
    require(StoreOutline, manifest, path)
    require_shards(manifest["shards"], columns, path)
    numbers = [shard["index"] for shard in manifest["shards"]]
    if numbers != [*range(len(numbers))]:
        raise damaged(path, f"its shards are numbered {numbers[:9]}, not from 0 on")


def require_store(manifest: dict[str, Any], columns: Sequence[str], path: Path) -> None:
    """A store's manifest whose fields, shards and episodes go together, or a ValueError."""
    require_outline(manifest, columns, path)
    require(_Tables, manifest, path)
    require_places(manifest["episodes"], manifest["shards"], path)
    before, last = 0, len(manifest["episodes"]) - 1
    for number, addition in enumerate(manifest.get("additions", [])):
        if not before < addition["first_episode"] <= last:
            raise damaged(path, f"additions[{number}].first_episode lies outside of its episodes")
        before = addition["first_episode"]


def require_mark(mark: dict[str, Any], columns: Sequence[str], path: Path) -> None:
    """A commit mark that fits its schema and the name of its file, or a ValueError."""
    schema = EpisodesMark if "episodes" in mark or "frames" in columns else LatentsMark
    require(schema, mark, path)
    require_shards([mark], columns, path)
    if path.name != f"shard_{mark['index']:05d}.json":
        raise damaged(path, f"index is {mark['index']}")
    if schema is EpisodesMark:
        require_places(mark["episodes"], [mark], path)


def require_places(
    episodes: Sequence[dict[str, Any]], shards: Sequence[dict[str, Any]], place: str | Path
) -> None:
    """Episodes lie end to end in their shards and fill them, or it is a ValueError."""
    rows = {shard["index"]: shard["rows"] for shard in shards}
    taken = dict.fromkeys(rows, 0)
    for number, row in enumerate(episodes):
        if row.get("crc32") and {*row["crc32"]} != {*STORE_COLUMNS}:
            raise damaged(place, f"episodes[{number}].crc32 is not that of its columns")
        shard = row["shard"]
        if shard not in rows:
            raise damaged(place, f"episodes[{number}].shard is {shard}, and there is no such shard")
        if row["start"] != taken[shard]:
            raise damaged(
                place, f"episodes[{number}].start is {row['start']}, and not {taken[shard]}"
            )
        taken[shard] += row["length"] + 1
        if taken[shard] > rows[shard]:
            raise damaged(place, f"episodes[{number}].length is {row['length']}, beyond its shard")
    for shard, count in taken.items():
        if count != rows[shard]:
            raise damaged(place, f"shard {shard} has {rows[shard]} rows, its episodes {count}")
