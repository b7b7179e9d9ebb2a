"""Finished stages that a pipeline takes from elsewhere instead of running them again (`reuse=true`)."""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from world_models.config.schema import Config, flatten
from world_models.config.stored import stored_config
from world_models.runs.files import sha256
from world_models.runs.folder import Run, read_manifest, shown
from world_models.runs.lineage import all_runs, input_of
from world_models.runs.provenance import provenance

log = logging.getLogger(__name__)

PRODUCTS = {
    "rollout": ("episodes", "episodes/manifest.json"),
    "vae": ("vae", "checkpoints/best.pt"),
    "mdrnn": ("mdrnn", "checkpoints/best.pt"),
    "controller": ("agent", "agent.pt"),
    "evaluate": ("scores", "scores.json"),
    "pixel": ("pixel", "checkpoints/best.pt"),
}
"""What each stage gives to those after it: the kind under which they record it, and the file."""
ORIGIN = ("git", "versions", "machine", "threads")


def products(parts: dict[str, Path]) -> dict[str, str]:
    """Kind -> SHA-256 of what finished stages gave."""
    return {PRODUCTS[name][0]: sha256(path / PRODUCTS[name][1]) for name, path in parts.items()}


def find(stage: str, config: Config, part: Run, given: dict[str, str]) -> Path | None:
    """A finished run of `stage` below `outputs` with this configuration, seed, env, backend, device and these inputs.

    `given` holds the kinds and hashes of what the stages before it gave. Of several, the newest of those made most
    like this one (same commit, versions, machine, threads).
    """
    wanted = traits(stage, config, part)
    found = [
        path for path in reversed(all_runs(Path(config.outputs).absolute())) if path != part.path
    ]
    fitting = [path for path in found if _fits(path, stage, type(config.stage), wanted, given)]
    here = provenance()
    return min(fitting, key=lambda path: len(differences(path, here)), default=None)


def traits(stage: str, config: Config, part: Run) -> dict[str, Any]:
    """All that decides what a stage does, its inputs left out."""
    keys = {key: _plain(value) for key, value, rule in flatten(config.stage) if rule != "free"}
    return {
        "stage": stage,
        "keys": keys,
        "seed": part.seed,
        "env": part.env,
        "backend": part.backend,
        "device": part.device.value,
    }


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _fits(
    path: Path, stage: str, schema: type, wanted: dict[str, Any], given: dict[str, str]
) -> bool:
    manifest = read_manifest(path)
    if any(manifest[key] != wanted[key] for key in ("stage", "seed", "env", "backend", "device")):
        return False
    devices = {entry["device"] for entry in manifest["resumed"]}
    if (
        manifest["status"] != "finished"
        or devices - {wanted["device"]}
        or not (path / PRODUCTS[stage][1]).is_file()
    ):
        return False
    try:
        stored = stored_config(path, manifest, schema)
        keys = {key: _plain(value) for key, value, rule in flatten(stored.stage) if rule != "free"}
        return keys == wanted["keys"] and _has_inputs(path, manifest, given)
    except ValueError as error:
        log.debug("%s is not taken: %s", path, error)
        return False


def _has_inputs(path: Path, manifest: dict[str, Any], given: dict[str, str]) -> bool:
    """Whether a run was built on just what was given here, and all that it was built on is still there, unchanged."""
    for entry in manifest["inputs"]:
        input_of(path, entry["kind"])
    return all(
        given.get(entry["kind"], entry["sha256"]) == entry["sha256"] for entry in manifest["inputs"]
    )


def differences(path: Path, here: dict[str, Any]) -> list[str]:
    """In what of its origin a run differs from one that is made `here`."""
    manifest = read_manifest(path)
    return [key for key in ORIGIN if manifest[key] != here[key]]


def take(whole: Run, part: Run, source: Path) -> None:
    """Make a finished run a pipeline's part: noted in the pipeline's manifest, and a link where the part would lie."""
    entry = {
        "path": os.path.relpath(source, whole.path),
        "sha256": sha256(source / "manifest.json"),
    }
    whole.manifest["reused"] = {**whole.manifest.get("reused", {}), part.path.name: entry}
    whole.save_manifest()
    _link(part.path, source)
    log.info("%s: taken from %s (reuse=true)", part.path.name, shown(source))
    for key in differences(source, provenance()):
        log.warning(
            "%s: not what %s was made with, so numbers may differ from a run made now",
            key,
            shown(source),
        )


def _link(path: Path, source: Path) -> None:
    path.symlink_to(os.path.relpath(source.resolve(), path.parent.resolve()))


def check(whole: Run, part: Run) -> None:
    """A part that was taken must still be there and be the same; else a ValueError."""
    entry = whole.manifest.get("reused", {}).get(part.path.name)
    if entry is None:
        return
    source = (whole.path / entry["path"]).resolve()
    name = f"{shown(source)}, which {whole.name} took as its {part.path.name} (reuse=true),"
    if not (source / "manifest.json").is_file():
        raise ValueError(f"{name} is gone: bring it back, or start a new pipeline")
    if sha256(source / "manifest.json") != entry["sha256"]:
        raise ValueError(f"{name} has changed since: start a new pipeline")
    if not part.path.exists():
        _link(part.path, source)


@contextlib.contextmanager
def turn(stage: str, config: Config, part: Run, given: dict[str, str]) -> Iterator[None]:
    """Be the only pipeline at this stage with these traits and inputs; others wait, and then take what came of it."""
    identity = json.dumps([traits(stage, config, part), given], sort_keys=True, default=str)
    folder = Path(config.outputs).absolute() / ".reuse"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another pipeline is at it; waiting to take what comes of it", stage)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
