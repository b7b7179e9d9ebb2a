"""Where files lie that run folders name: seen from a folder, through links, after a move."""

import os
from pathlib import Path

from world_models.runs.files import version_of
from world_models.runs.finding import find_files


def seen_from(path: Path, folder: Path) -> str:
    """The relative path from a folder to a file or folder, as a manifest keeps it.

    Where links on the way would lead it astray, it is the one between the real places.
    """
    plain = os.path.relpath(path, folder)
    if path.exists() and not _same(folder / plain, path):
        return os.path.relpath(path.resolve(), folder.resolve())
    return plain


def led_to(folder: Path, stored: str) -> Path:
    """Where a stored relative path leads from a folder.

    A folder that was moved and linked back has its links on the way: then it is read as written.
    """
    walked = (folder / stored).resolve()
    written = Path(os.path.normpath(folder.absolute() / stored))
    return written if not walked.exists() or _same(written, walked) else walked


def _same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)


def with_hash(name: str, digest: str, below: Path) -> Path | None:
    """A file of that name and SHA-256 anywhere below a folder; None where there is none."""
    files = find_files(below, name, whole="manifest.json").files
    return next((file for file in files if version_of(file, digest) is not None), None)
