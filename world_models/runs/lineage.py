"""Which run feeds which: finding the newest upstream, following recorded inputs, checking their hashes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from world_models.runs.chains import CHAINS
from world_models.runs.files import read_json, sha256
from world_models.runs.folder import is_live, read_manifest, shown


def all_runs(outputs: Path) -> list[Path]:
    """Every run folder below `outputs`, sub-runs of pipelines and sweep jobs included, oldest first."""
    found = [path.parent for path in outputs.glob("**/manifest.json") if _is_run(path)]
    return sorted(found, key=lambda path: (read_json(path / "manifest.json")["created"], str(path)))


def _is_run(manifest: Path) -> bool:
    try:
        content = read_json(manifest)
    except ValueError:
        return False
    return isinstance(content, dict) and "stage" in content and "created" in content


def status(path: Path) -> str:
    """The status of a run; one that says running but that no process writes was cut off: interrupted."""
    stated = str(read_manifest(path)["status"])
    return "interrupted" if stated == "running" and not is_live(path) else stated


def latest(
    outputs: Path, stage: str, env: dict[str, Any], experiment: str | None, before: str
) -> Path | None:
    """The newest finished run of `stage` with this env and experiment, ended before `before`; sweep jobs excluded."""
    for path in reversed(all_runs(outputs)):
        manifest = read_manifest(path)
        same = (
            _serves(path, manifest, stage)
            and manifest["env"] == env
            and manifest["experiment"] == experiment
        )
        swept = (outputs / "sweeps") in path.parents
        if same and not swept and manifest["status"] == "finished" and manifest["ended"] <= before:
            return path
    return None


def _serves(path: Path, manifest: dict[str, Any], stage: str) -> bool:
    """Whether a run gives what runs of `stage` give: converted episodes stand for collected ones."""
    if stage == "rollout" and manifest["stage"] == "convert":
        return (path / "episodes" / "manifest.json").is_file()
    return bool(manifest["stage"] == stage)


def input_of(run: Path, kind: str) -> Path:
    """The file of `kind` that a run was built on, found through its manifest and checked against its hash."""
    for entry in read_manifest(run)["inputs"]:
        if entry["kind"] == kind:
            path = (run / entry["path"]).resolve()
            if not path.is_file():
                raise ValueError(f"{shown(path)}, on which {shown(run)} was built, is gone")
            if sha256(path) != entry["sha256"]:
                raise ValueError(
                    f"{shown(path)} has changed since {shown(run)} was built on it: train that run again"
                )
            return path
    raise ValueError(f"{shown(run)} records no input of kind {kind!r}")


def check_upstream(path: Path, stage: str, needs: Sequence[str], env: dict[str, Any]) -> Path:
    """An explicit upstream must be a finished run of one of the stages, and of the env. A pipeline stands for its part."""
    if not path.is_dir():
        raise ValueError(f"upstream={shown(path)} does not exist")
    manifest = read_manifest(path)
    parts = [
        name
        for name in needs
        if (path / name).is_symlink() or (path / name / "manifest.json").is_file()
    ]
    if manifest["stage"] in CHAINS and parts:
        part = path / parts[0]
        if not part.exists():
            raise ValueError(
                f"upstream={shown(path)} took its {part.name} from {shown(part.resolve())}, which is gone"
            )
        path, manifest = part, read_manifest(part)
    if not any(_serves(path, manifest, name) for name in needs):
        wanted = " or ".join(needs)
        raise ValueError(
            f"upstream={shown(path)} is a {manifest['stage']} run; stage={stage} needs a {wanted} run"
        )
    if status(path) != "finished":
        raise ValueError(
            f"upstream={shown(path)} is not finished ({status(path)}): continue it with resume={shown(path)}"
        )
    if manifest["env"] != env:
        raise ValueError(
            f"upstream={shown(path)} was made with another env: {difference(manifest['env'], env)}"
        )
    return path


def difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """In which keys two environments differ, and how."""
    keys = [key for key in ours if theirs.get(key) != ours[key]]
    return "; ".join(f"{key} is {theirs.get(key)} there and {ours[key]} here" for key in keys)
