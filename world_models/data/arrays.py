"""Sharded array files: written whole or not at all, memory-mapped, gathered by row."""

import hashlib
import io
import json
import math
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from world_models.data.manifests import require_mark, shard_name
from world_models.data.maps import OpenMaps, map_array
from world_models.runs.files import (
    parse_json,
    read_json,
    remove_leftovers,
    replacing,
    require_regular,
    sha256,
    write_json,
)
from world_models.runs.parsing import damaged
from world_models.runs.progress import tracked

Array = npt.NDArray[Any]
Layout = tuple[np.dtype[Any], tuple[int, ...]]
"""Type and shape of one row."""

UNREADABLE_HEADER = (
    ValueError,
    TypeError,
    SyntaxError,
    MemoryError,
    RecursionError,
    tokenize.TokenError,
)
"""What numpy raises on a header that is damaged."""


def write_array(
    path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, chunks: Iterable[Array]
) -> str:
    """Write chunks as one .npy file; returns its SHA-256 as hexadecimal text.

    The chunks are joined along axis 0 to `shape`. Only one of them at a time is in memory. The file
    appears under its name once it is complete and on the disk.
    """
    digest = hashlib.sha256()
    rows = 0
    with replacing(path) as file:
        header = _header(shape, np.dtype(dtype))
        file.write(header)
        digest.update(header)
        for chunk in chunks:
            assert chunk.dtype == dtype and chunk.shape[1:] == shape[1:], (
                path.name,
                chunk.shape,
                chunk.dtype,
                shape,
            )
            content = np.ascontiguousarray(chunk).data
            file.write(content)
            digest.update(content)
            rows += len(chunk)
        assert rows == shape[0], f"{path.name}: {rows} rows written, {shape[0]} announced"
    return digest.hexdigest()


def write_shard(
    folder: Path, index: int, columns: dict[str, list[Array]], extra: dict[str, Any]
) -> dict[str, Any]:
    """Write one shard's arrays and then its commit mark, whose content is returned.

    Each array is given as chunks of rows. The mark shard_00000.json says index, rows, the SHA-256
    of each file, and `extra`. Each file takes its name only when whole, and an earlier mark is
    deleted first. So an interrupted shard has no mark, and is simply written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark_path = folder / f"{shard_name(index)}.json"
    mark_path.unlink(missing_ok=True)
    rows = sum(len(chunk) for chunk in next(iter(columns.values())))
    files = {}
    for part, chunks in columns.items():
        name = f"{shard_name(index, part)}.npy"
        files[name] = write_array(
            folder / name, (rows, *chunks[0].shape[1:]), chunks[0].dtype, chunks
        )
    mark = {"index": index, "rows": rows, "files": files, **extra}
    write_json(mark_path, mark)
    return mark


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The bytes that start a .npy file (format version 1.0)."""
    buffer = io.BytesIO()
    description = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(buffer, description)
    return buffer.getvalue()


def check_array(path: Path, rows: int) -> Layout:
    """Check size and number of rows of a .npy file; returns what a row is.

    ValueError naming it where it is missing, is not as long as its header says, or has not `rows`
    rows.
    """
    remedy = "restore it or make this folder again"
    if not path.exists():
        raise ValueError(f"{path} is missing: {remedy}")
    size = require_regular(path)
    try:
        with path.open("rb") as file:
            npy.read_magic(file)
            shape, columns_first, dtype = npy.read_array_header_1_0(file)
            expected = file.tell() + math.prod(shape) * dtype.itemsize
    except UNREADABLE_HEADER:
        raise ValueError(f"{path} is damaged, its header cannot be read: {remedy}") from None
    if size != expected:
        raise ValueError(
            f"{path} is damaged, it has {size} bytes where its header says {expected}: {remedy}"
        )
    if shape[:1] != (rows,):
        raise ValueError(
            f"{path} has the shape {shape} where the manifest says {rows} rows: {remedy}"
        )
    if columns_first:
        raise ValueError(f"{path} is damaged, it lies column by column: {remedy}")
    return dtype, shape[1:]


def read_manifest(
    path: Path, kind: str, schemas: tuple[int, ...], remedy: str
) -> tuple[dict[str, Any], str]:
    """The manifest of a finished folder and the SHA-256 of its bytes, from one reading of it.

    ValueError naming it where it is missing, of another kind, or of a schema not in `schemas`.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist, so there are no finished {kind} here: {remedy}")
    require_regular(path)
    content = path.read_bytes()
    manifest = parse_json(content, path)
    if not isinstance(manifest, dict):
        raise damaged(path, "it holds no table of fields")
    found_kind = manifest.get("kind")
    found_schema = manifest.get("schema")
    if found_kind != kind or found_schema not in schemas:
        wanted = " or ".join(map(str, schemas))
        raise ValueError(
            f"{path} is of kind {found_kind!r}, schema {found_schema}, where {kind!r}, "
            f"schema {wanted} is needed: {remedy}"
        )
    return manifest, hashlib.sha256(content).hexdigest()


def finished_shards(folder: Path, columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Commit marks by the index of their shards, in order.

    A mark, shard_00000.json, is written after the arrays of its shard, one for each column.
    """
    marks = [read_mark(path, columns) for path in sorted(folder.glob("shard_?????.json"))]
    return {mark["index"]: mark for mark in marks}


def read_mark(path: Path, columns: Sequence[str]) -> dict[str, Any]:
    """The commit mark of a shard; a damaged one is a ValueError."""
    mark: dict[str, Any] = read_json(path)
    require_mark(mark, columns, path)
    return mark


def manifest_entry(mark: dict[str, Any]) -> dict[str, Any]:
    """What the manifest's `shards` hold of a shard with this commit mark."""
    return {key: mark[key] for key in ("index", "rows", "files")}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> Path:
    """Finish a folder: write its `manifest.json`; returns the path.

    What interrupted writers left is removed before.
    """
    remove_leftovers(folder)
    write_json(folder / "manifest.json", manifest)
    return folder / "manifest.json"


class ShardedFolder:
    """A finished folder of shards, read through memory maps.

    What is added later is not seen. It can be sent to another process, which maps the files anew.
    """

    columns: tuple[str, ...]

    def __init__(self, folder: Path, manifest: dict[str, Any], digest: str) -> None:
        """`digest` is the SHA-256 of the manifest's bytes.

        A missing or truncated file is a ValueError naming it.
        """
        self.folder = folder
        self.manifest = manifest
        self._digest = digest
        self._maps = OpenMaps()
        for shard in manifest["shards"]:
            for column in self.columns:
                path = folder / f"{shard_name(shard['index'], column)}.npy"
                dtype, row = check_array(path, shard["rows"])
                if not self.accepts(column, dtype, row):
                    raise damaged(path, f"its rows are {dtype} {row}, which no {column} are")

    def accepts(self, column: str, dtype: np.dtype[Any], row: tuple[int, ...]) -> bool:
        """Whether rows of this type and shape can be those of a column."""
        raise NotImplementedError

    def shards(self) -> list[int]:
        """Indices of all shards."""
        return [shard["index"] for shard in self.manifest["shards"]]

    def rows_by_shard(self) -> dict[int, int]:
        """How many rows each shard has."""
        return {shard["index"]: shard["rows"] for shard in self.manifest["shards"]}

    def digest(self) -> str:
        """SHA-256 of manifest.json as it was when opened: it names the content of that moment."""
        return self._digest

    def shard_digest(self, shard: int) -> str:
        """SHA-256 that names the content of one shard: that of its files' names and hashes."""
        files = json.dumps(self._files(shard), sort_keys=True)
        return hashlib.sha256(files.encode()).hexdigest()

    def file_digest(self, shard: int, column: str) -> str:
        """SHA-256 of one column's file of a shard, as the manifest has it."""
        return self._files(shard)[f"{shard_name(shard, column)}.npy"]

    def _files(self, shard: int) -> dict[str, str]:
        """Name and SHA-256 of each of a shard's files."""
        entries = self.manifest["shards"]
        files: dict[str, str] = next(entry["files"] for entry in entries if entry["index"] == shard)
        return files

    def maps(self, shard: int) -> tuple[Array, ...]:
        """The memory-mapped columns of one shard, read only; mapped once while it is in use."""
        return self._maps.of(shard, self._map_shard)

    def _map_shard(self, shard: int) -> tuple[Array, ...]:
        paths = (self.folder / f"{shard_name(shard, column)}.npy" for column in self.columns)
        return tuple(map(map_array, paths))

    def altered(self) -> Iterator[tuple[Path, int]]:
        """Read every file; yields those altered since they were written, each with its shard.

        A file is altered where its SHA-256 is not that of the manifest.
        """
        files = [
            (self.folder / name, expected, shard["index"])
            for shard in self.manifest["shards"]
            for name, expected in shard["files"].items()
        ]
        label = f"check {self.folder.name}"
        for path, expected, shard in tracked(label, files, len(files), "files"):
            if sha256(path) != expected:
                yield path, shard

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_maps": OpenMaps()}
