"""A run as its stage sees it, and how its folder is filled."""

import logging
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from world_models.envs.config import Backend
from world_models.envs.spec import EnvSpec
from world_models.runs import ranks
from world_models.runs.device import Device, Workers
from world_models.runs.files import (
    read_json,
    remove_leftovers,
    replacing,
    sha256,
    version_of,
    write_json,
    write_text,
)
from world_models.runs.folder import (
    display_path,
    locked,
    logging_to,
)
from world_models.runs.metrics import MetricsLog, Mirror, Tables, Unwritten
from world_models.runs.past import PastRun
from world_models.runs.places import led_to, seen_from
from world_models.runs.program import started
from world_models.runs.provenance import provenance, uncommitted_changes
from world_models.runs.scripts import Scripts, write_scripts
from world_models.runs.sealed import TABLE_SUMS, require_unchanged, sealed
from world_models.runs.signals import arrived, interruptible
from world_models.runs.times import latest, now

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
MIRRORS = ("wandb", "tensorboard")
"""Folders in a run folder in which metrics are mirrored."""


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
        if not ranks.is_first():
            return Unwritten()
        tables = Tables()
        if "tables" in self.manifest:
            tables = Tables(self.manifest["tables"], noted=True, save=self.save_manifest)
        return MetricsLog(self.path, offsets, self._prefixed_mirror(), tables)

    def _prefixed_mirror(self) -> Mirror | None:
        mirror, stage = self.mirror, self.manifest["stage"]
        if mirror is None:
            return None
        return lambda name, row: mirror(f"{stage}/{name}", row)

    def show(self, path: Path) -> None:
        """Hand a picture that was just written on to the mirror, where there is one.

        Those whose names differ in a number at the end have one name there.
        """
        mirror = self._prefixed_mirror()
        if mirror is not None:
            mirror("images", {re.sub(r"_\d+$", "", path.stem): path})

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
        return sha256(self.pin_input(kind, path))

    def pin_input(self, kind: str, path: Path) -> Path:
        """Record a file that this run is built on; returns where to read it.

        That is `path`. Where the run is resumed and a store has grown in between, it is the
        manifest that the run began with. A file that changed otherwise is a ValueError.
        """
        entry = {"kind": kind, "path": seen_from(path, self.path), "sha256": sha256(path)}
        inputs = [item for item in self.manifest["inputs"] if item["kind"] == kind]
        if entry["sha256"] in [item["sha256"] for item in inputs]:
            return path
        known = {item["path"]: item["sha256"] for item in inputs if self._has_replaced(path, item)}
        if not known:
            self.manifest["inputs"].append(entry)
            self.save_manifest()
            return path
        version = version_of(path, next(iter(known.values())))
        if version is None:
            raise ValueError(
                f"{display_path(path)} has changed since this run began: start a new run instead "
                f"of resuming {self.name}"
            )
        return version

    def _has_replaced(self, path: Path, known: dict[str, Any]) -> bool:
        """Whether a file lies where a recorded one did, or that one is gone."""
        before = led_to(self.path, known["path"])
        return not before.exists() or before.samefile(path)

    def save_manifest(self) -> None:
        """Write manifest.json."""
        if ranks.is_first():
            write_json(self.path / "manifest.json", self.manifest)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Hold the folder's lock, keep its log and its status while a stage runs."""
        with locked(self.path), logging_to(self.path / "log.txt"), interruptible():
            remove_leftovers(self.path)
            began, before = time.monotonic(), self.manifest.get("wall_seconds", 0.0)
            finished = self._as_finished()
            require_unchanged(self.path, self.manifest)
            self.manifest.pop(TABLE_SUMS, None)
            self._set(status="running", error=None)
            try:
                with interruptible():
                    yield
            except KeyboardInterrupt:
                arrived()
                seconds = before + time.monotonic() - began
                self._set(status="interrupted", wall_seconds=seconds, **self._sums())
                log.warning(
                    "interrupted; continue with %s", shlex.quote(str(self.path / "resume.sh"))
                )
                raise
            except BaseException as error:
                if finished is not None and finished.files == _files(self.path):
                    self.manifest = finished.manifest
                    self.save_manifest()
                    raise
                log.debug("the run failed", exc_info=True)
                self._note_failure(error, before + time.monotonic() - began)
                raise
            seconds = before + time.monotonic() - began
            self._set(status="finished", wall_seconds=seconds, ended=self._now(), **self._sums())

    def _sums(self) -> dict[str, Any]:
        return {TABLE_SUMS: sealed(self.path, self.manifest.get("tables", []))}

    def _note_failure(self, error: BaseException, seconds: float) -> None:
        """Keep why the run failed; that a full disk takes not even that is said."""
        try:
            self._set(status="failed", error=str(error), wall_seconds=seconds)
        except OSError as full:
            log.warning("the status of %s is not noted: %s", self.name, full)

    def _as_finished(self) -> "_Finished | None":
        """What a finished run is before it goes on; None for one that is not finished."""
        if not (self.path / "manifest.json").is_file():
            return None
        manifest = read_json(self.path / "manifest.json")
        finished = manifest.get("status") == "finished"
        return _Finished(manifest, _files(self.path)) if finished else None

    def _now(self) -> str:
        """A clock that was set back ends no run before it began."""
        return latest(now(), self.manifest["created"])

    def _set(self, **values: Any) -> None:
        self.manifest.update(values)
        self.save_manifest()


@dataclass(frozen=True)
class _Finished:
    """A finished run: while it goes on without adding anything, an error leaves it finished."""

    manifest: dict[str, Any]
    files: dict[Path, int]


def _files(folder: Path) -> dict[Path, int]:
    """When each file that a stage made was last written.

    Logs, locks, pages and what Weights & Biases and TensorBoard keep are not its own.
    """
    own = ("manifest.json", "log.txt", ".lock", "report.html")
    paths = (path for path in folder.rglob("*") if path.is_file())
    made = (path for path in paths if path.relative_to(folder).parts[0] not in MIRRORS)
    return {path: path.stat().st_mtime_ns for path in made if path.name not in own}


def begin(
    run: Run,
    stage: str,
    config: str,
    overrides: list[str],
    choices: dict[str, Any],
    scripts: Scripts | None = None,
    not_before: str | None = None,
) -> None:
    """Fill a new run folder: config.yaml, overrides.yaml, manifest.json and its scripts.

    `scripts` says which there are beside resume.sh. The run was not made before the moment
    `not_before`, whatever the clock says.
    """
    run.manifest = {
        "schema": SCHEMA,
        "stage": stage,
        "status": "interrupted",
        "created": latest(now(), not_before),
        "command": started().command,
        "experiment": choices.get("experiment"),
        "choices": choices,
        "seed": run.seed,
        "device": run.device.value,
        "env": run.env.to_dict(),
        "backend": run.backend.value,
        "upstream": seen_from(run.upstream.path, run.path) if run.upstream else None,
        "inputs": [],
        "tables": [],
        "resumed": [],
        "error": None,
        "wall_seconds": 0.0,
        **provenance(),
    }
    write_text(run.path / "config.yaml", config)
    write_text(run.path / "overrides.yaml", "".join(f"- {override}\n" for override in overrides))
    patch = uncommitted_changes()
    if patch:
        with replacing(run.path / "source.patch") as file:
            file.write(patch)
    write_scripts(run.path, choices, scripts or Scripts())
    run.save_manifest()
