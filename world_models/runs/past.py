"""A run folder that is read and not written: its manifest is parsed once, when it is first asked
for."""

import contextlib
import glob
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from world_models.envs.spec import EnvSpec
from world_models.runs.files import plain_name, version_of
from world_models.runs.finding import find_files
from world_models.runs.folder import NoRunFolderError, display_path, is_live, read_manifest
from world_models.runs.places import led_to, with_hash
from world_models.runs.stored_env import spec_of
from world_models.runs.times import latest, moment, now

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One stage of a chain: the folder of its run inside the chain's, and the name of the stage."""

    folder: str
    stage: str


class PastRun:
    """What a run folder says of itself. A folder that is none is a ValueError at the first
    question.

    What it was built on and has moved is looked for `below` a folder, by its hash.
    """

    def __init__(self, path: Path, below: Path | None = None) -> None:
        self.path = path
        self.below = below

    @classmethod
    def holding(cls, file: Path, below: Path | None = None) -> "PastRun":
        """The run in whose folder, or in a folder inside it, a file lies; none is a ValueError.

        So is a manifest on the way up to it that is damaged.
        """
        for folder in file.parents:
            run = cls(folder, below)
            with contextlib.suppress(NoRunFolderError):
                if "stage" in run.manifest:
                    return run
        raise ValueError(
            f"{display_path(file)} lies in no folder of a run: bring back the folder in which it "
            "was made"
        )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return read_manifest(self.path)

    @property
    def name(self) -> str:
        """The folder as a person would type it."""
        return display_path(self.path)

    @property
    def stage(self) -> str:
        """The name of the stage, or of the chain."""
        return str(self.manifest["stage"])

    @property
    def env(self) -> EnvSpec:
        """The environment of the run."""
        return spec_of(self.manifest["env"], self.path / "manifest.json")

    @property
    def status(self) -> str:
        """finished, running, failed or interrupted; what no process writes any more was
        interrupted."""
        stated = str(self.manifest["status"])
        cut_off = stated == "running" and not is_live(self.path)
        return "interrupted" if cut_off else stated

    @property
    def best(self) -> Path:
        """The checkpoint that the next stage reads."""
        return self.path / "checkpoints" / "best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint from which the run is resumed."""
        return self.path / "checkpoints" / "last.pt"

    @cached_property
    def parts(self) -> list[Part]:
        """The stages of a chain in their order; none for a run of a single stage.

        A chain's manifest lists them. One that an earlier version wrote does not: there they are
        what it took from elsewhere and is gone, then the run folders inside, the oldest first.
        """
        if "parts" in self.manifest:
            source = self.path / "manifest.json"
            listed = [Part(**entry) for entry in self.manifest["parts"]]
            return [Part(plain_name(part.folder, source), part.stage) for part in listed]
        inside = [PastRun(path.parent) for path in self.path.glob("*/manifest.json")]
        runs = [run for run in inside if run.is_one]
        runs.sort(key=lambda run: str(run.manifest["created"]))
        found = [Part(run.path.name, run.stage) for run in runs]
        taken = self.manifest.get("reused") or {}
        names = [plain_name(name, self.path / "manifest.json") for name in taken]
        gone = [Part(name, name) for name in names if not (self.path / name).exists()]
        return [*gone, *found]

    @property
    def is_one(self) -> bool:
        """Whether the folder is that of a run: stores and latents have a manifest, too."""
        try:
            return "stage" in self.manifest
        except NoRunFolderError:
            return False
        except ValueError as error:
            log.warning("%s; it is left out", error)
            return False

    def part(self, stage: str) -> "PastRun":
        """The last begun run of `stage` in a chain; a run of that stage is its own part.

        A chain without one is a ValueError.
        """
        if self.stage == stage:
            return self
        path = last_begun(self, [stage])
        if path == self.path:
            raise ValueError(f"{self.name} has no {stage} run")
        return PastRun(path)

    def inputs(self, kind: str) -> list[Path]:
        """The files of `kind` that the run was built on.

        Of a store that has grown since it is the manifest of that time. A file that is gone or has
        changed is a ValueError.
        """
        entries = [entry for entry in self.manifest.get("inputs", []) if entry["kind"] == kind]
        return [self._checked(entry) for entry in entries]

    def input(self, kind: str) -> Path:
        """The one file of `kind` that the run was built on; none, or several, are a ValueError."""
        found = self.inputs(kind)
        if len(found) != 1:
            count = "no input" if not found else f"{len(found)} inputs"
            raise ValueError(f"{self.name} records {count} of kind {kind!r}, where one is needed")
        return found[0]

    def _checked(self, entry: dict[str, Any]) -> Path:
        path = led_to(self.path, entry["path"])
        found = version_of(self._moved(path, entry) or path, entry["sha256"])
        if found is not None:
            return found
        if not path.is_file():
            raise ValueError(
                f"{display_path(path)}, on which {self.name} was built, is gone: bring it back, or "
                "name with outputs= the folder below which it lies now"
            )
        raise ValueError(
            f"{display_path(path)} has changed since {self.name} was built on it: "
            "train that run again"
        )

    def _moved(self, path: Path, entry: dict[str, Any]) -> Path | None:
        """Where a file that is not at `path` any more lies now, known by its hash."""
        if self.below is None or path.is_file():
            return None
        found = with_hash(path.name, entry["sha256"], self.below)
        if found is not None:
            log.info("%s has moved: taken from %s", display_path(path), display_path(found))
        return found

    def whereabouts(self, path: Path) -> Path:
        """Where a file or folder lies now on whose files this run, or a part of it, was built."""
        if path.exists():
            return path
        for file, entry in self._files_in(path):
            found = self._moved(file, entry)
            if found is not None:
                return _stripped(found, file, path)
        return path

    def named(self, path: Path, other: Path) -> Path:
        """What is now named in place of `path`: it, or what lies below it.

        Where it does not hold the files on which this run was built, it is a ValueError.
        """
        for file, entry in self._files_in(path):
            digest = entry["sha256"]
            if other.is_file():
                found = other if version_of(other, digest) else None
            else:
                found = with_hash(file.name, digest, other)
            if found is None:
                raise ValueError(
                    f"{display_path(other)} holds no {file.name} of the hash that {self.name} was "
                    "built on: name the folder or file that has moved"
                )
            return _stripped(found, file, path)
        return other

    def _files_in(self, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Recorded files at or below `path`, those of a chain's parts, too."""
        for run in [self, *(PastRun(self.path / part.folder) for part in self.parts)]:
            entries = run.manifest.get("inputs", []) if run.is_one else []
            for entry in entries:
                file = led_to(run.path, entry["path"])
                if file.is_relative_to(path):
                    yield file, entry


def _stripped(found: Path, file: Path, path: Path) -> Path:
    """Where `path` lies now that its `file` was found."""
    return [found, *found.parents][len(file.relative_to(path).parts)]


def part_folder(path: Path, stage: str) -> Path:
    """The last begun run of `stage` in the folder of a chain; any other path is given back."""
    run = PastRun(path)
    return last_begun(run, [stage]) if run.is_one else path


def last_begun(chain: PastRun, stages: Sequence[str]) -> Path:
    """The folder of a chain's last part that is a run of one of these stages.

    Of an iteration that has not come so far it is that of the one before. A run that has no such
    part is given back.
    """
    paths = [chain.path / part.folder for part in chain.parts if part.stage in stages]
    begun = [path for path in paths if path.is_symlink() or path.is_dir()]
    return [chain.path, *paths[:1], *begun][-1]


def all_runs(outputs: Path) -> list[PastRun]:
    """Every run below `outputs`, parts of chains and jobs of sweeps included, oldest first.

    Folders that are links to another disk are looked into; hidden ones, and links inside the
    folder of a run, are not.
    """
    manifests = find_files(outputs, "manifest.json", whole="manifest.json").files
    found = [PastRun(path.parent) for path in manifests]
    runs = [run for run in found if run.is_one]
    return sorted(runs, key=lambda run: (moment(run.manifest["created"]), str(run.path)))


def top_runs(outputs: Path) -> list[PastRun]:
    """The runs in folders of their own, `<env>/<date>/<time>`: no parts, no jobs of sweeps."""
    found = glob.glob("*/*/*/manifest.json", root_dir=outputs)  # noqa: PTH207  # of any length
    return [run for run in (PastRun((outputs / path).parent) for path in found) if run.is_one]


def time_after(runs: Iterable[PastRun]) -> str:
    """The time now. Where the clock was set back it is that of the latest of these runs."""
    here = now()
    ends = {_last_moment(run): run.name for run in runs}
    last = latest(here, *ends)
    if last != here:
        log.warning(
            "the clock stands at %s, before %s was made (%s): new runs come after it all the same",
            *(here, ends[last], last),
        )
    return last


def _last_moment(run: PastRun) -> str:
    return latest(run.manifest["created"], run.manifest.get("ended"))
