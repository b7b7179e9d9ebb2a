"""Files that lie somewhere below a folder, as people mean them."""

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Files below a folder, each list in the order of the paths."""

    files: list[Path]
    # hidden, found before under another path, or nothing that can be read; a folder stands for
    # all that is in it
    left_out: list[Path]


def find_files(folder: Path, name: str = "*", whole: str | None = None) -> Found:
    """Every file below `folder` that is not hidden, each once; only those with a fitting `name`.

    A name that begins with a dot hides a file, or all of a folder: a Mac's `._` files,
    `.ipynb_checkpoints`. Links are followed, but to no folder that holds this one; what can be
    reached in two ways counts once. A folder that holds a file called `whole` holds all that
    belongs to it: links inside are not followed.
    """
    found = Found([], [])
    seen: set[tuple[int, int]] = set()
    fitting = (path for path in _walk(folder, whole, found.left_out) if fnmatch(path.name, name))
    for path in sorted(fitting):
        is_used = not _is_hidden(path) and _is_file(path) and _is_new(path, seen)
        (found.files if is_used else found.left_out).append(path)
    found.left_out.sort()
    return found


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _walk(folder: Path, whole: str | None, left_out: list[Path]) -> Iterator[Path]:
    """The files below `folder`; linked folders come after all others.

    Hidden folders, and those that cannot be read, are `left_out`.
    """

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            log.warning("%s is left out: %s", error.filename, error.strerror)
            left_out.append(Path(error.filename))

    entered: set[tuple[int, int]] = set()
    waiting, closed = [folder], set[Path]()
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0), onerror=unreadable):
            path = Path(parent)
            if not _is_new(path, entered):
                folders.clear()
                continue
            if whole in names or path.parent in closed:
                closed.add(path)
            left_out += (path / name for name in folders if _is_hidden(path / name))
            folders[:] = [name for name in folders if not _is_hidden(path / name)]
            if path not in closed:
                waiting += _links(path, folders, folder)
            yield from (path / name for name in names)


def _links(parent: Path, names: list[str], folder: Path) -> list[Path]:
    """Those of these folders that are links, but to none that holds `folder`."""
    links = [path for name in sorted(names) if (path := parent / name).is_symlink()]
    return [link for link in links if not folder.resolve().is_relative_to(link.resolve())]


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
