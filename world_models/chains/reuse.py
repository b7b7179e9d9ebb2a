"""Finished stages that a chain takes from elsewhere instead of running them (`reuse=true`)."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from world_models.config.schema import Config, flatten, paths_of
from world_models.config.stage import Stage
from world_models.config.stored import stored_config
from world_models.runs.files import require_regular, sha256
from world_models.runs.folder import display_path, open_lock
from world_models.runs.locks import try_lock, wait_for_lock
from world_models.runs.past import PastRun, all_runs
from world_models.runs.places import led_to, seen_from, with_hash
from world_models.runs.progress import ProgressBar
from world_models.runs.provenance import provenance
from world_models.runs.run import Run

log = logging.getLogger(__name__)

ORIGIN = ("git", "versions", "machine", "threads")


def products(finished: dict[Path, Stage]) -> dict[str, set[str]]:
    """Kind -> SHA-256 of all that finished runs of these stages gave."""
    given: dict[str, set[str]] = {}
    for path, stage in finished.items():
        if stage.gives is not None:
            given.setdefault(stage.gives.kind, set()).add(sha256(path / stage.gives.file))
    return given


@dataclass(frozen=True)
class Wanted:
    """A run that a chain needs: its stage, configuration and place, and what it is fed with.

    `given` holds kinds and hashes of what the stages before it gave.
    """

    stage: Stage
    config: Config
    run: Run
    given: dict[str, set[str]]

    def find(self) -> Path | None:
        """A finished run below `outputs` that is just this one, or None.

        It has this configuration, seed, env, backend, device and these inputs. Of several, the
        newest of those made most like this one (same commit, versions, machine, threads).
        """
        below = all_runs(Path(self.config.outputs).absolute())
        others = [past for past in reversed(below) if past.path != self.run.path]
        fitting = [past for past in others if self._is(past)]
        here = provenance()
        best = min(fitting, key=lambda past: len(differences(past, here)), default=None)
        return None if best is None else best.path

    @cached_property
    def traits(self) -> dict[str, Any]:
        """All that decides what the run does, its inputs left out."""
        return {"keys": _deciding_keys(self.config, self.run.path), **self._facts}

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "stage": self.stage.name,
            "seed": self.run.seed,
            "env": self.run.env.to_dict(),
            "backend": self.run.backend.value,
            "device": self.run.device.value,
        }

    def _is(self, past: PastRun) -> bool:
        manifest, facts = past.manifest, self._facts
        if any(manifest.get(key) != value for key, value in facts.items()):
            return False
        devices = {facts["device"], *(entry["device"] for entry in manifest.get("resumed", []))}
        if manifest["status"] != "finished" or len(devices) > 1 or not self._has_product(past):
            return False
        try:
            stored = stored_config(past, self.stage.config)
            keys = _deciding_keys(stored, past.path)
            return keys == self.traits["keys"] and self._has_inputs(past)
        except ValueError as error:
            log.debug("%s is not taken: %s", past.path, error)
            return False

    def _has_product(self, past: PastRun) -> bool:
        product = self.stage.gives
        return product is not None and (past.path / product.file).is_file()

    def _has_inputs(self, past: PastRun) -> bool:
        """Whether a run was built on just what is given, and all of it is there, unchanged."""
        entries = past.manifest.get("inputs", [])
        for kind in {entry["kind"] for entry in entries}:
            past.inputs(kind)
        return all(
            entry["sha256"] in self.given.get(entry["kind"], {entry["sha256"]}) for entry in entries
        )

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only chain at this run; others wait, and then take what came of it."""
        given = {kind: sorted(hashes) for kind, hashes in self.given.items()}
        identity = json.dumps([self.traits, given], sort_keys=True, default=str)
        folder = Path(self.config.outputs).absolute() / ".reuse"
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        with open_lock(folder / f"{name}.lock") as file:
            if not try_lock(file):
                log.info(
                    "%s: another pipeline is at it; waiting to take what comes of it",
                    self.stage.name,
                )
                with ProgressBar(f"waiting for {self.stage.name}", None):
                    wait_for_lock(file)
            yield


def _deciding_keys(config: Config, folder: Path) -> dict[str, Any]:
    """The stage's keys that change a result, as plain values.

    A path inside the chain, which is seen from the `folder` of the run, counts by its content.
    """
    keys = flatten(config.stage)
    plain = {key: _plain(value) for key, value, rule in keys if rule != "free"}
    inside = {
        key: led_to(folder, path)
        for key, path in paths_of(config.stage).items()
        if path is not None and path.startswith("../")
    }
    return {**plain, **{key: _content(path) for key, path in inside.items()}}


def _content(path: Path) -> str:
    """The SHA-256 of a file; of a run's folder that of its last checkpoint."""
    file = path / "checkpoints" / "last.pt" if path.is_dir() else path
    require_regular(file)
    return sha256(file)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def differences(past: PastRun, here: dict[str, Any]) -> list[str]:
    """In what of its origin a run differs from one that is made `here`."""
    return [key for key in ORIGIN if past.manifest.get(key) != here[key]]


def take(whole: Run, part: Run, source: Path) -> None:
    """Make a finished run a chain's part: noted in the manifest, and linked where it would lie."""
    entry = {
        "path": seen_from(source, whole.path),
        "sha256": sha256(source / "manifest.json"),
    }
    whole.manifest["reused"] = {**whole.manifest.get("reused", {}), part.path.name: entry}
    whole.save_manifest()
    _link(part.path, source)
    log.info("%s: taken from %s (reuse=true)", part.path.name, display_path(source))
    for key in differences(PastRun(source), provenance()):
        log.warning(
            "%s: not what %s was made with, so numbers may differ from a run made now",
            key,
            display_path(source),
        )


def _link(path: Path, source: Path) -> None:
    if path.is_dir() and not path.is_symlink() and not (path / "manifest.json").is_file():
        # begun here, and killed before it was a run
        shutil.rmtree(path)
    path.symlink_to(os.path.relpath(source.resolve(), path.parent.resolve()))


def check(whole: Run, part: Run, outputs: Path) -> None:
    """A part that was taken must still be there, or elsewhere below `outputs`, and be the same.

    Else it is a ValueError.
    """
    entry = whole.manifest.get("reused", {}).get(part.path.name)
    if entry is None:
        return
    source = led_to(whole.path, entry["path"])
    if not source.is_dir():
        manifest = with_hash("manifest.json", entry["sha256"], outputs)
        source = source if manifest is None else manifest.parent
    name = f"{display_path(source)}, which {whole.name} took as its {part.path.name} (reuse=true),"
    if not (source / "manifest.json").is_file():
        raise ValueError(f"{name} is gone: bring it back, or start a new pipeline")
    if sha256(source / "manifest.json") != entry["sha256"]:
        raise ValueError(f"{name} has changed since: start a new pipeline")
    if not part.path.exists():
        part.path.unlink(missing_ok=True)
        _link(part.path, source)
