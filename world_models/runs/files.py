"""Files written whole or not at all, and their hashes."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from world_models.runs.signals import whole_write

KEPT_FOLDER = "earlier"
"""Beside a file that grows, what it was before, each version named by its SHA-256."""
LARGEST_JSON = 1 << 28
"""Bytes of a file that is read as JSON."""
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


def is_temporary(path: Path) -> bool:
    """Whether a file is called as `replacing` calls what is not whole yet."""
    return TEMPORARY.fullmatch(path.name) is not None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour for writing; on success it is synced and replaces `path`.

    Where there is no room, it is an OSError that says so.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with saying_what_is_full(path), temporary.open("wb") as file:
            yield file
            with whole_write():
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
    finally:
        with saying_what_is_full(path):
            temporary.unlink(missing_ok=True)


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_NAME = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)


@contextmanager
def saying_what_is_full(path: Path) -> Iterator[None]:
    """Where a disk takes no more, nothing at all, or not this name, the OSError names the file and
    says what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_NAME:
            raise OSError(
                f"{path} cannot be written: {error.strerror}; choose another name"
            ) from None
        if error.errno not in (*FULL, *CLOSED):
            raise
        is_full = error.errno in FULL
        remedy = (
            "make room" if is_full else "see to it that you may write there, or copy its folder"
        )
        raise OSError(
            f"{path} cannot be written: {error.strerror}; {remedy}, then resume the run"
        ) from None


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers had half written; who is the only writer owns all of it."""
    for leftover in list(folder.rglob(".*.tmp")):
        if is_temporary(leftover):
            remove(leftover)


def require_regular(path: Path) -> int:
    """The size of a file in bytes.

    One that is missing is a ValueError, and so is a folder, a pipe or a device, which might be
    waited for or read for ever.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is no regular file: put the file itself there")
    return found.st_size


def plain_name(name: Any, source: Path) -> str:
    """A name, read in `source`, of a file or folder that lies there.

    Anything that might lead elsewhere is a ValueError.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
        raise ValueError(
            f"{source} names {str(name)[:100]!r} as one of its files, which is no plain name: "
            "others may have changed it, so take the run from where it was made"
        )
    return name


def is_own(folder: Path, path: Path) -> bool:
    """Whether `path`, somewhere inside `folder`, is a file that lies there: no link leads away."""
    inside = path.relative_to(folder)
    return path.is_file() and path.resolve() == folder.resolve() / inside


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON in one step.

    NaN and infinity, which JSON does not know, become null.
    """
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """The JSON in `path`; a file that is missing or damaged is a ValueError that names it."""
    size = require_regular(path)
    if size > LARGEST_JSON:
        raise ValueError(f"{path} has {size} bytes, and {LARGEST_JSON} are the most that are read")
    return parse_json(path.read_bytes(), path)


def parse_json(content: bytes, path: Path) -> Any:
    """The JSON in the content of `path`; where it is damaged, a ValueError that names the file."""
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def keep_version(path: Path) -> None:
    """Keep a file that is about to grow as it is now, for those who were built on it."""
    kept = _kept(path, sha256(path))
    kept.parent.mkdir(exist_ok=True)
    with replacing(kept) as file:
        file.write(path.read_bytes())


def version_of(path: Path, digest: str) -> Path | None:
    """The file with this SHA-256: `path`, or what `keep_version` kept of it; None where it is
    neither."""
    versions = (path, _kept(path, digest))
    return next((file for file in versions if file.is_file() and sha256(file) == digest), None)


def _kept(path: Path, digest: str) -> Path:
    return path.parent / KEPT_FOLDER / f"{digest}{path.suffix}"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def typed_path(text: str) -> Path:
    """The path that somebody typed: a `~` in front is a home folder, where there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
