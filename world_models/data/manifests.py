"""What manifests and commit marks of stores and latents say, checked before an array is touched."""

from collections.abc import Iterable, Iterator, Sequence
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
Side = Annotated[int, Field(ge=1, le=1 << 15)]
Grid = Annotated[list[Side], Field(min_length=2, max_length=2)]


def shard_name(index: int, part: str = "") -> str:
    """Stem of a shard's files: shard_00003, or shard_00003_frames for one of its arrays."""
    return f"shard_{index:05d}_{part}" if part else f"shard_{index:05d}"


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


class Addition(Stored):
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
    additions: list[Addition] = Field([])


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


class TokensManifest(Stored):
    """manifest.json of tokens."""

    tokenizer: Text
    vocabulary: int = Field(ge=2, le=1 << 15)
    grid: Grid
    shards: Annotated[list[_EncodedShard], FailFast(), Field(min_length=1)]


class TokensMark(Shard):
    """The commit mark of a shard's tokens."""

    vocabulary: int = Field(ge=2, le=1 << 15)
    grid: Grid
    key: dict[Text, Text]


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
        wanted = {f"{shard_name(index, column)}.npy" for column in columns}
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
    for what in misplaced_additions(manifest):
        raise damaged(path, f"it has {what}")


def require_mark(mark: dict[str, Any], columns: Sequence[str], path: Path) -> None:
    """A commit mark that fits its schema and the name of its file, or a ValueError."""
    schema = _mark_schema(mark, columns)
    require(schema, mark, path)
    require_shards([mark], columns, path)
    if path.name != f"{shard_name(mark['index'])}.json":
        raise damaged(path, f"index is {mark['index']}")
    if schema is EpisodesMark:
        require_places(mark["episodes"], [mark], path)


def _mark_schema(mark: dict[str, Any], columns: Sequence[str]) -> type[Shard]:
    """What a commit mark must hold, by the columns of its shard."""
    if "episodes" in mark or "frames" in columns:
        return EpisodesMark
    return TokensMark if "tokens" in columns else LatentsMark


def require_places(
    episodes: Sequence[dict[str, Any]], shards: Sequence[dict[str, Any]], place: str | Path
) -> None:
    """Episodes lie end to end in their shards and fill them, or it is a ValueError."""
    for number, row in enumerate(episodes):
        if row.get("crc32") and {*row["crc32"]} != {*STORE_COLUMNS}:
            raise damaged(place, f"episodes[{number}].crc32 is not that of its columns")
    for number, what in misplaced(episodes, shards, range(len(episodes))):
        raise damaged(place, f"it puts episodes[{number}] {what}")
    for what in unfilled(episodes, shards):
        raise damaged(place, what)


def misplaced(
    episodes: Sequence[dict[str, Any]], shards: Sequence[dict[str, Any]], numbers: Iterable[int]
) -> Iterator[tuple[int, str]]:
    """Which of these episodes do not lie end to end in their shards, and where they are put.

    After one that does not, the start of the next is believed.
    """
    sizes = {shard["index"]: shard["rows"] for shard in shards}
    free: dict[int, int | None] = dict.fromkeys(sizes, 0)
    for number in numbers:
        shard, start = episodes[number]["shard"], episodes[number]["start"]
        end = start + episodes[number]["length"] + 1
        if shard not in sizes:
            yield number, f"into shard {shard}, and there is no such shard"
        elif free[shard] not in (None, start) or end > sizes[shard]:
            taken = "" if free[shard] is None else f", {free[shard]} taken"
            rows = f"rows {start} to {end - 1} of {shard_name(shard)}"
            yield number, f"into {rows}, which has {sizes[shard]} rows{taken}"
            free[shard] = None
        else:
            free[shard] = end


def unfilled(episodes: Sequence[dict[str, Any]], shards: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Which shards are not filled by their episodes, which lie end to end."""
    taken = {row["shard"]: row["start"] + row["length"] + 1 for row in episodes}
    for shard in shards:
        name, rows, found = shard_name(shard["index"]), shard["rows"], taken.get(shard["index"], 0)
        if found != rows:
            yield f"{name}: only {found} of its {rows} rows belong to an episode"


def misplaced_additions(manifest: dict[str, Any]) -> Iterator[str]:
    """Which additions of a grown store do not begin after the one before, and in its table."""
    before, count = 0, len(manifest["episodes"])
    for entry in manifest.get("additions", []):
        first = entry["first_episode"]
        if before < first < count:
            before = first
        else:
            yield (
                f"an addition from episode {first} on, which lies outside of {before + 1} to "
                f"{count - 1}"
            )
