"""Checksums of a run's tables, kept in its manifest while nothing writes them."""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from world_models.runs.files import plain_name
from world_models.runs.parsing import damaged

TABLE_SUMS = "table_crc32"
"""The key of the manifest: CRC-32 of each table by its name, as the run left it."""


def table_sums(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """The checksums of the tables of these names in a run folder, of those that are there."""
    paths = {name: folder / f"{plain_name(name, folder)}.csv" for name in names}
    there = {name: path for name, path in paths.items() if path.is_file() and not path.is_symlink()}
    return {name: zlib.crc32(path.read_bytes()) for name, path in there.items()}


def sealed(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """As `table_sums`, once the tables are on the disk: their sums must not be there before."""
    names = list(names)
    for name in names:
        path = folder / f"{plain_name(name, folder)}.csv"
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    return table_sums(folder, names)


def require_unchanged(folder: Path, manifest: dict[str, Any]) -> None:
    """A table that has changed since the run left it is a ValueError that names it."""
    left = manifest.get(TABLE_SUMS, {})
    found = table_sums(folder, left)
    for name, checksum in left.items():
        if found.get(name) != checksum:
            raise damaged(folder / f"{name}.csv", "it has changed since the run ended")
