"""Files that a library writes piece by piece: room is found before it writes, and names come last.

HDF5 does not survive a write that fails: it ends the process, or fills the screen.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from world_models.runs.files import remove, saying_what_is_full

SPARE = 1 << 20
"""Bytes for what a library writes beside the arrays."""


def require_room(path: Path, size: int) -> None:
    """An OSError unless `path` can grow by `size` bytes, and a little more.

    They are taken by a file beside it, and given back.
    """
    begins = path.stat().st_size if path.exists() else 0
    probe = _temporary(path, "room")
    try:
        with probe.open("wb") as file:
            _take(file, begins, size + SPARE)
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def renaming(path: Path) -> Iterator[Path]:
    """A file or folder to write, which takes the name `path` when all is written.

    It is taken away where that fails.
    """
    temporary = _temporary(path, "partial")
    try:
        with saying_what_is_full(path):
            yield temporary
            temporary.replace(path)
    finally:
        remove(temporary)


def _take(file: BinaryIO, begins: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), begins, size)
    else:
        file.seek(begins)
        file.write(bytes(size))


def _temporary(path: Path, what: str) -> Path:
    """A name beside `path` that a killed run's leftovers have."""
    return path.with_name(f".{path.name}.{what}.{os.getpid()}.tmp")
