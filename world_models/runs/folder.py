"""The run folder: its manifest, its lock, its lineage and its log."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from world_models.envs.spec import EnvSpec
from world_models.runs.device import Device, Workers
from world_models.runs.files import read_json, sha256, write_json, write_text
from world_models.runs.metrics import MetricsLog, Mirror
from world_models.runs.provenance import provenance, uncommitted_changes

if TYPE_CHECKING:
    from world_models.envs.make import Backend
    from world_models.runs.past import PastRun

log = logging.getLogger(__name__)

RUNTIME = {"resume": "free"}
"""Metadata of a config field that may differ when a run is resumed: it changes no result.

Device and threads change the last bits.
"""
BUDGET = {"resume": "longer"}
"""Metadata of a config field that may grow when a run is resumed."""
PATH = {"path": True}
"""Metadata of a config field that holds the path of a file or folder (or a name, or null)."""

SCHEMA = 1


@dataclass
class Run:
    """One run of one stage, as its `execute` sees it."""

    path: Path
    seed: int
    device: Device
    backend: Backend
    env: EnvSpec
    upstream: PastRun | None = None
    mirror: Mirror | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    agent: Path | None = None  # the agent to play, where it is not the upstream's
    # who does work that is spread
    workers: Workers = Workers.local

    @property
    def feeder(self) -> PastRun:
        """The run that feeds this one, where its stage needs one."""
        assert self.upstream is not None, self.path
        return self.upstream

    @property
    def name(self) -> str:
        """The run folder as a person would type it."""
        return display_path(self.path)

    def metrics(self, offsets: dict[str, int] | None) -> MetricsLog:
        """The run's CSV logs, cut to the `offsets` of the resumed checkpoint (None: begun anew)."""
        return MetricsLog(self.path, offsets, self._prefixed_mirror())

    def _prefixed_mirror(self) -> Mirror | None:
        mirror, stage = self.mirror, self.manifest["stage"]
        if mirror is None:
            return None
        return lambda name, row: mirror(f"{stage}/{name}", row)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint from which this run is resumed."""
        return self.checkpoints / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint that the next stage reads."""
        return self.checkpoints / "best.pt"

    def add_input(self, kind: str, path: Path) -> str:
        """Record a file that this run is built on; returns its SHA-256.

        One that changed since is a ValueError.
        """
        entry = {"kind": kind, "path": os.path.relpath(path, self.path), "sha256": sha256(path)}
        inputs = self.manifest["inputs"]
        known = {(item["kind"], item["path"]): item["sha256"] for item in inputs}
        place = kind, entry["path"]
        if place in known and known[place] != entry["sha256"]:
            raise ValueError(
                f"{display_path(path)} has changed since this run began: start a new run instead "
                f"of resuming {self.name}"
            )
        if place not in known:
            inputs.append(entry)
            self.save_manifest()
        return str(entry["sha256"])

    def save_manifest(self) -> None:
        """Write manifest.json."""
        write_json(self.path / "manifest.json", self.manifest)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Hold the folder's lock, keep its log and its status while a stage runs."""
        with locked(self.path), _logging_to(self.path / "log.txt"), terminable():
            _remove_leftovers(self.path)
            began, before = time.monotonic(), self.manifest.get("wall_seconds", 0.0)
            self._set(status="running", error=None)
            try:
                yield
            except KeyboardInterrupt:
                self._set(status="interrupted", wall_seconds=before + time.monotonic() - began)
                log.warning(
                    "interrupted; continue with %s", shlex.quote(str(self.path / "resume.sh"))
                )
                raise
            except BaseException as error:
                log.debug("the run failed", exc_info=True)
                self._set(
                    status="failed",
                    error=str(error),
                    wall_seconds=before + time.monotonic() - began,
                )
                raise
            self._set(
                status="finished", wall_seconds=before + time.monotonic() - began, ended=now()
            )

    def _set(self, **values: Any) -> None:
        self.manifest.update(values)
        self.save_manifest()


def now() -> str:
    """The time to the microsecond, as manifests hold it."""
    return datetime.now().isoformat()


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
                    f"{display_path(path)} cannot be made a run folder: a file of that name is in "
                    "the way"
                ) from None
        except (NotADirectoryError, PermissionError, OSError) as error:
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


def begin(
    run: Run,
    stage: str,
    config: str,
    overrides: list[str],
    choices: dict[str, Any],
    evaluated_by: str | None = None,
) -> None:
    """Fill a new run folder: config.yaml, overrides.yaml, manifest.json and its scripts.

    `evaluated_by` names the stage that eval.sh runs; without one there is no eval.sh.
    """
    run.manifest = {
        "schema": SCHEMA,
        "stage": stage,
        "status": "interrupted",
        "created": now(),
        "command": ["python", "-m", "world_models.main", *sys.argv[1:]],
        "experiment": choices.get("experiment"),
        "choices": choices,
        "seed": run.seed,
        "device": run.device.value,
        "env": run.env.to_dict(),
        "backend": run.backend.value,
        "upstream": os.path.relpath(run.upstream.path, run.path) if run.upstream else None,
        "inputs": [],
        "resumed": [],
        "error": None,
        "wall_seconds": 0.0,
        **provenance(),
    }
    write_text(run.path / "config.yaml", config)
    write_text(run.path / "overrides.yaml", "".join(f"- {override}\n" for override in overrides))
    patch = uncommitted_changes()
    if patch:
        write_text(run.path / "source.patch", patch)
    _write_scripts(run.path, choices, evaluated_by)
    run.save_manifest()


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run folder; a folder that is none is a ValueError."""
    if not (path / "manifest.json").is_file():
        raise ValueError(f"{display_path(path)} is no run folder: it has no manifest.json")
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict) or "stage" not in manifest:
        raise ValueError(f"{display_path(path)} is no run folder: its manifest.json names no stage")
    return manifest


def _write_scripts(path: Path, choices: dict[str, Any], evaluated_by: str | None) -> None:
    write_resume_script(path)
    if evaluated_by is not None:
        env = shlex.join([f"env={choices['env']}", *choices["env_keys"]])
        arguments = f'stage={evaluated_by} {env} upstream="$here"'
        _write_script(path / "eval.sh", "Evaluate what was made here.", arguments)


def write_resume_script(path: Path) -> None:
    """Write the script that continues what a folder holds, a run or a sweep."""
    _write_script(path / "resume.sh", "Continue what stopped here.", 'resume="$here"')


def _write_script(path: Path, purpose: str, arguments: str) -> None:
    python = shlex.quote(sys.executable)
    here = 'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)'
    write_text(
        path,
        f'#!/bin/sh\n# {purpose}\n{here}\nexec {python} -m world_models.main {arguments} "$@"\n',
    )
    path.chmod(0o755)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only writer of a run folder; a ValueError when another process is."""
    with (path / ".lock").open("w") as file:
        if not any(_try_lock(file, fcntl.LOCK_EX) for _ in range(5)):
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
        return not _try_lock(file, fcntl.LOCK_SH)


def wait_for_writer(path: Path) -> None:
    """Return once no process writes this run folder."""
    if is_live(path):
        log.info("waiting for the process that still writes %s", display_path(path))
        with (path / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH)


def _try_lock(file: IO[str], kind: int) -> bool:
    """Lock if that is possible now, else pause for a moment.

    A reader may only be looking whether the run is live.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.02)
        return False
    return True


def _remove_leftovers(path: Path) -> None:
    """Delete what a killed process had half written; while the lock is held it is nobody else's."""
    for leftover in path.rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("world_models")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end what runs inside as Ctrl-C does."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
