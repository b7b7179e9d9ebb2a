"""Whether an episode store is whole and means what its manifest says.

Every file is checked, every row of the table, every episode.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from world_models.data.arrays import check_array, map_array
from world_models.data.episode import RUNNING, TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.manifests import (
    STORE_COLUMNS,
    Addition,
    EpisodeEntry,
    misplaced,
    misplaced_additions,
    require_outline,
    shard_name,
    unfilled,
)
from world_models.data.store import (
    ShardArrays,
    checksum,
    is_return,
    open_manifest,
    row_layouts,
)
from world_models.envs.spec import EnvSpec
from world_models.runs.files import sha256
from world_models.runs.parsing import flaw
from world_models.runs.progress import tracked
from world_models.runs.stored_env import spec_of


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong, in one sentence."""

    sentence: str
    # numbers of the episodes that it touches
    episodes: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    damages: list[Damage]
    # the episode table, as the manifest has it
    rows: list[dict[str, Any]]

    @property
    def damaged(self) -> set[int]:
        """Numbers of the episodes that something is wrong with."""
        return {index for damage in self.damages for index in damage.episodes}


def check_store(folder: Path) -> Verdict:
    """Read every byte of the store in `folder`.

    A manifest that cannot be read is a ValueError; everything else is listed.
    """
    manifest, _ = open_manifest(folder / "manifest.json")
    spec = _check_manifest(folder / "manifest.json", manifest)
    rows, shards = manifest["episodes"], manifest["shards"]
    damages = [*_check_rows(rows), *_check_seeds(rows)]
    damages += [*_check_additions(manifest), *_check_places(manifest, _untouched(rows, damages))]
    sound = _untouched(rows, damages)
    for shard in tracked("verify", shards, len(shards), "shards"):
        inside = [index for index in sound if rows[index]["shard"] == shard["index"]]
        damages += _check_shard(folder, spec, rows, shard, inside)
    return Verdict(damages, rows)


def _untouched(rows: list[dict[str, Any]], damages: list[Damage]) -> list[int]:
    """Numbers of the episodes whose place in the store can be relied on so far."""
    touched = {index for damage in damages for index in damage.episodes}
    return [index for index in range(len(rows)) if index not in touched]


def _check_manifest(path: Path, manifest: dict[str, Any]) -> EnvSpec:
    """The environment; what cannot be relied on outside the tables is a ValueError."""
    require_outline(manifest, STORE_COLUMNS, path)
    return spec_of(manifest["env"], path)


def _damage(index: int, what: str) -> Damage:
    return Damage(f"episode {index}: {what}", (index,))


def _check_rows(rows: list[dict[str, Any]]) -> Iterator[Damage]:
    """Each entry of the episode table by itself."""
    for index, row in enumerate(rows):
        if found := flaw(EpisodeEntry, row):
            yield _damage(index, f"in manifest.json, {found}")


def _check_seeds(rows: list[dict[str, Any]]) -> Iterator[Damage]:
    """No validation episode has the seed of a training episode.

    It would show the same track or level, and not be held out.
    """
    training = {
        row.get("seed"): index for index, row in enumerate(rows) if row.get("split") == "train"
    }
    for index, row in enumerate(rows):
        seed = row.get("seed")
        if row.get("split") == "validation" and seed != UNKNOWN_SEED and seed in training:
            yield _damage(
                index,
                f"it is for validation, yet its seed {seed} is that of "
                f"training episode {training[seed]}",
            )


def _check_additions(manifest: dict[str, Any]) -> Iterator[Damage]:
    """Each addition of a grown store begins after the last one."""
    flaws = [flaw(Addition, entry) for entry in manifest.get("additions", [])]
    for number, found in enumerate(flaws):
        if found:
            yield Damage(f"in additions[{number}] of manifest.json, {found}", ())
    if not any(flaws):
        for what in misplaced_additions(manifest):
            yield Damage(f"manifest.json has {what}", ())


def _check_places(manifest: dict[str, Any], indices: list[int]) -> Iterator[Damage]:
    """Episodes lie end to end in their shards and fill them."""
    rows, shards = manifest["episodes"], manifest["shards"]
    damages = [
        _damage(index, f"manifest.json puts it {what}")
        for index, what in misplaced(rows, shards, indices)
    ]
    yield from damages
    if not damages and len(indices) == len(rows):
        yield from (Damage(what, ()) for what in unfilled(rows, shards))


def _check_shard(
    folder: Path,
    spec: EnvSpec,
    rows: list[dict[str, Any]],
    shard: dict[str, Any],
    inside: list[int],
) -> Iterator[Damage]:
    """The files of a shard, and the episodes `inside` it.

    Checksums of the episodes say which of them a fault touches; where they do not, it is all.
    """
    names = {column: f"{shard_name(shard['index'], column)}.npy" for column in STORE_COLUMNS}
    whole = True
    for column, name in names.items():
        fault, readable = _check_file(folder / name, column, shard, spec)
        whole &= readable
        if fault:
            intact = {
                index for index in inside if readable and _is_intact(folder, column, rows[index])
            }
            hit = [index for index in inside if index not in intact] or inside
            yield Damage(f"{_numbered(hit)} cannot be trusted: {fault}", tuple(hit))
    if whole:
        maps = ShardArrays(*(map_array(folder / name) for name in names.values()))
        for index in inside:
            for column, what in _check_episode(maps, rows[index], spec):
                yield _damage(index, f"{names[column]} {what}")


def _numbered(indices: list[int]) -> str:
    """For people: the episodes of these numbers."""
    if len(indices) < 2:
        return f"episode {indices[0]}" if indices else "no episode"
    if indices == list(range(indices[0], indices[-1] + 1)):
        return f"episodes {indices[0]} to {indices[-1]}"
    return f"episodes {', '.join(map(str, indices))}"


def _is_intact(folder: Path, column: str, row: dict[str, Any]) -> bool:
    """Whether one episode's part of a column is as it was written.

    In stores without checksums that is unknown, and so the answer is no.
    """
    array = map_array(folder / f"{shard_name(row['shard'], column)}.npy")
    part = array[row["start"] : row["start"] + row["length"] + 1]
    return bool(row.get("crc32", {}).get(column) == checksum(part))


def _check_file(path: Path, column: str, shard: dict[str, Any], spec: EnvSpec) -> tuple[str, bool]:
    """What is wrong with a file ("" for nothing), and whether its episodes can be looked at."""
    try:
        dtype, row = check_array(path, shard["rows"])
    except ValueError as error:
        return str(error), False
    if (dtype, row) != row_layouts(spec)[column]:
        wanted = "{} {}".format(*row_layouts(spec)[column])
        return f"{path.name} holds {dtype} {row} per row, where its env has {wanted}", False
    if sha256(path) != shard["files"].get(path.name):
        return f"{path.name} has changed since it was written (its SHA-256 differs)", True
    return "", True


def _check_episode(
    arrays: ShardArrays, row: dict[str, Any], spec: EnvSpec
) -> Iterator[tuple[str, str]]:
    """What is wrong with the values of one episode: (column, what)."""
    end = row["start"] + row["length"]
    steps = slice(row["start"], end)
    actions = arrays.actions[steps]
    rewards = arrays.rewards[steps]
    done = arrays.done[steps]
    outside = np.flatnonzero(~spec.action_space.contains(actions))
    if outside.size:
        step = outside[0]
        space = spec.action_space.to_gymnasium()
        yield "actions", f"holds {actions[step]} at step {step}, outside {space}"
    infinite = np.flatnonzero(~np.isfinite(rewards))
    total = rewards.sum(dtype=np.float64)
    if infinite.size:
        yield "rewards", f"holds {rewards[infinite[0]]} at step {infinite[0]}"
    elif not is_return(total, row["return"]):
        yield "rewards", f"sums to {total}, and manifest.json says {row['return']}"
    early = np.flatnonzero(done[:-1])
    if early.size or done[-1] not in (TERMINATED, TRUNCATED):
        step = early[0] if early.size else len(done) - 1
        wanted = f"{RUNNING}" if early.size else f"{TERMINATED} or {TRUNCATED}"
        yield "done", f"holds {done[step]} at step {step} of {len(done)}, where it must be {wanted}"
    for name in ("actions", "rewards", "done"):
        if getattr(arrays, name)[end].any():
            yield name, f"is not zero in row {end}, which is padding"
