"""Files that lie somewhere below a folder, as people mean them."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Found:
    """Files below a folder, each list in the order of the paths."""

    files: list[Path]
    # hidden, found before under another path, or no file that can be read
    left_out: list[Path]


def find_files(folder: Path, name: str = "*") -> Found:
    """Every file below `folder` that is not hidden, each once; only those with a fitting `name`.

    A name that begins with a dot hides a file, or all of a folder: a Mac's `._` files,
    `.ipynb_checkpoints`. Links are followed; what can be reached in two ways counts once.
    """
    found = Found([], [])
    seen: set[tuple[int, int]] = set()
    for path in sorted(path for path in _walk(folder) if fnmatch(path.name, name)):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        is_used = not hidden and _is_file(path) and _is_new(path, seen)
        (found.files if is_used else found.left_out).append(path)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """What lies below `folder`; linked folders come after all others."""
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0)):
            if not _is_new(Path(parent), entered):
                folders.clear()
                continue
            waiting += sorted(path for name in folders if (path := Path(parent, name)).is_symlink())
            yield from (Path(parent, name) for name in names)


def _is_file(path: Path) -> bool:
    """Whether it is a plain file: neither a broken link nor a pipe, which would never end."""
    status = _status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether the file or folder behind `path` is there and was not seen before; now it was."""
    status = _status(path)
    if status is None or (status.st_dev, status.st_ino) in seen:
        return False
    seen.add((status.st_dev, status.st_ino))
    return True


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
