"""The run folder: its name, its manifest, its lock and its log."""

import contextlib
import errno
import logging
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from world_models.runs.files import CLOSED, read_json
from world_models.runs.locks import try_lock, wait_for_lock
from world_models.runs.manifest import RunManifest
from world_models.runs.parsing import require
from world_models.runs.progress import ProgressBar

log = logging.getLogger(__name__)


def display_path(path: Path) -> str:
    """A path relative to the working folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def new_folder(parent: Path, name: str) -> Path:
    """Make `parent/name`, or `parent/name-2` and so on when it exists."""
    for suffix in ["", *(f"-{number}" for number in range(2, 1000))]:
        path = parent / f"{name}{suffix}"
        try:
            path.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            if not path.is_dir():
                raise ValueError(
                    f"{display_path(path)} cannot be made a run folder: a file of that name, or "
                    "a link to nothing, is in the way"
                ) from None
        except OSError as error:
            raise ValueError(
                f"{display_path(path)} cannot be made: {error.strerror}; "
                "choose another folder with outputs="
            ) from None
        else:
            return path
    raise ValueError(f"{display_path(parent)} holds too many runs of the name {name}")


def dated_folder(root: Path) -> Path:
    """Make `root/<YYYY-MM-DD>/<HH-MM-SS>`."""
    now = datetime.now()
    return new_folder(root / now.strftime("%Y-%m-%d"), now.strftime("%H-%M-%S"))


def outputs_of(run: Path) -> Path | None:
    """The folder of all runs in which this one, a part of a chain or a job of a sweep lies.

    None where it does not lie in the usual folders of a day and a time.
    """
    for folder in (run.absolute(), *run.absolute().parents):
        if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.name):
            return folder.parent.parent
    return None


def outputs_typed(run: Path) -> list[str]:
    """`outputs=` as it must be typed for a run beside this one; nothing where that is usual."""
    outputs = outputs_of(run)
    if outputs is None or outputs == Path("outputs").absolute():
        return []
    return [f"outputs={display_path(outputs)}"]


class NoRunFolderError(ValueError):
    """The folder is something else than that of a run: a store, or another program's."""


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run folder; a folder that is none, and a damaged one, is a ValueError."""
    name = display_path(path)
    if not (path / "manifest.json").exists():
        raise NoRunFolderError(f"{name} is no run folder: it has no manifest.json")
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict) or "stage" not in manifest:
        raise NoRunFolderError(f"{name} is no run folder: its manifest.json names no stage")
    require(RunManifest, manifest, path / "manifest.json")
    return manifest


def require_own_files(path: Path, links: Collection[str] = (), apart: str = "wandb") -> None:
    """A folder that is about to be written must hold all that lies in it itself.

    A link would lead to a file of somebody else, a pipe would wait for ever: ValueErrors. `links`
    are the folders inside that may lead to other runs, which are only read. What lies in folders
    whose names match `apart` is written by others.
    """
    for folder, folders, files in os.walk(path):
        whole = Path(folder) == path
        for name in [*folders, *files]:
            found = Path(folder) / name
            try:
                mode = found.lstat().st_mode
            except FileNotFoundError:
                # a temporary file of a run that is being written
                continue
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or (whole and name in links)):
                raise ValueError(
                    f"{display_path(found)} is a link or no file at all, and what is written in "
                    f"{display_path(path)} must stay there: put the file itself in its place, or "
                    "take it away"
                )
        if whole:
            folders[:] = [name for name in folders if not re.fullmatch(apart, name)]


def open_lock(path: Path) -> IO[str]:
    """A file to lock, made where there is none; a link, and a folder in which nothing may be
    written, is a ValueError."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{display_path(path)} is a link: take it away") from None
        if error.errno in CLOSED:
            raise ValueError(
                f"{display_path(path.parent)} cannot be written: {error.strerror}; see to it that "
                "you may, or copy it to where you may"
            ) from None
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only writer of a run folder; a ValueError when another process is."""
    with open_lock(path / ".lock") as file:
        if not any(_try_lock(file) for _ in range(5)):
            raise ValueError(
                f"{display_path(path)} is being written by another process: "
                "wait until it ends, or stop it"
            )
        yield


def is_live(path: Path) -> bool:
    """Whether a process is writing this run folder now."""
    if not (path / ".lock").is_file():
        return False
    with (path / ".lock").open("r") as file:
        return not _try_lock(file, shared=True)


def wait_for_writer(path: Path) -> None:
    """Return once no process writes this run folder."""
    if is_live(path):
        log.info("waiting for the process that still writes %s", display_path(path))
        with (path / ".lock").open("r") as file, ProgressBar("waiting", None):
            wait_for_lock(file, shared=True)


def _try_lock(file: IO[str], shared: bool = False) -> bool:
    """Lock if that is possible now, else pause for a moment.

    A reader may only be looking whether the run is live.
    """
    if try_lock(file, shared):
        return True
    time.sleep(0.02)
    return False


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short, without a word: the run itself has one."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("world_models")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
