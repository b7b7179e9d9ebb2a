"""Root schema of the configuration, and what can be done with a typed one."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, cast, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from world_models.config.groups import OWN_STAGES
from world_models.envs import families
from world_models.runs.bounds import require_bounds
from world_models.runs.device import Device, Precision, Workers, resolve_precision
from world_models.runs.files import typed_path
from world_models.runs.places import led_to
from world_models.runs.quotes import literal
from world_models.runs.run import PATH, RUNTIME


class Verbosity(Enum):
    """How much a run says: everything, its milestones, or only warnings."""

    debug = "debug"  # everything
    info = "info"  # milestones
    quiet = "quiet"  # only warnings


class WandbMode(Enum):
    """Whether metrics also go to Weights & Biases."""

    disabled = "disabled"  # they do not
    offline = "offline"  # they are kept in the run folder
    online = "online"  # they are sent


@dataclass
class WandbConfig:
    """Weights & Biases (extra `wandb`)."""

    mode: WandbMode = WandbMode.disabled  # whether metrics go to Weights & Biases, too
    project: str = "world_models"  # of Weights & Biases, in which the runs lie


@dataclass
class Config:
    """The root keys; `stage` and `env` are filled by their config groups."""

    stage: Any = MISSING
    env: Any = MISSING
    # every use of chance derives from it
    seed: int = 0
    # "latest", the newest finished run of the preceding stage, or a run folder
    upstream: str = field(default="latest", metadata=PATH)
    # of stage=play, evaluate and export: a trained agent by name, an agent.pt or the folder of its
    # run, in place of an upstream
    agent: str | None = field(default=None, metadata=PATH)
    # of a pipeline: take finished stages of equal config and inputs
    reuse: bool = field(default=False, metadata=RUNTIME)
    # the folder of all runs
    outputs: str = field(default="outputs", metadata={**RUNTIME, **PATH})
    # where models run; auto: on a GPU where there is one
    device: Device = field(default=Device.auto, metadata=RUNTIME)
    # torch threads of the main process; 0: one per core
    threads: int = field(default=0, metadata=RUNTIME)
    # who does work that is spread: this machine's processes, or a Ray cluster
    workers: Workers = field(default=Workers.local, metadata=RUNTIME)
    # what the console shows; log.txt holds everything anyway
    verbosity: Verbosity = field(default=Verbosity.info, metadata=RUNTIME)
    wandb: WandbConfig = field(default_factory=WandbConfig, metadata=RUNTIME)
    # whether metrics are written as TensorBoard's event files, too (extra `tensorboard`)
    tensorboard: bool = field(default=False, metadata=RUNTIME)

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; it must be 0 (one per core) or more")
        for key, value, _ in flatten(self):
            require_bounds(key, value)


_registered: dict[str, type] = {}
_stored: dict[tuple[str, str], type] = {}


def register(stages: dict[str, type]) -> None:
    """Make the schemas known to Hydra, in a group of their own: they are no choices."""
    _store("schema", "root", Config)
    for name, node in stages.items():
        _store("schema/stage", name, node)
        if name in OWN_STAGES:
            _store("stage", name, node)
    for family in families.FAMILIES:
        _store("schema/env", family.name, family.config)
    _registered.update(stages)


def _store(group: str, name: str, node: type) -> None:
    """Hydra makes a tree of each schema that it is given, and keeps it: once is enough."""
    if _stored.get((group, name)) is not node:
        ConfigStore.instance().store(group=group, name=name, node=node)
        _stored[group, name] = node


def path_keys() -> set[str]:
    """The dotted keys, of the root and of all registered stages, that hold paths."""
    keys = set(_path_keys(Config, ""))
    for schema in _registered.values():
        keys |= set(_path_keys(schema, "stage."))
    return keys


def _path_keys(schema: type, prefix: str) -> Iterator[str]:
    hints = get_type_hints(schema)
    for item in fields(schema):
        if item.metadata.get("path"):
            yield f"{prefix}{item.name}"
        elif is_dataclass(hints[item.name]):
            yield from _path_keys(hints[item.name], f"{prefix}{item.name}.")


def paths_of(config: Any, prefix: str = "") -> dict[str, str | None]:
    """Dotted key -> path, of every field of nested dataclasses that holds one."""
    found: dict[str, str | None] = {}
    for item in fields(config):
        value, key = getattr(config, item.name), f"{prefix}{item.name}"
        if is_dataclass(value):
            found |= paths_of(value, f"{key}.")
        elif item.metadata.get("path"):
            found[key] = value
    return found


def with_home(config: Any) -> Any:
    """A copy of nested dataclasses in which paths that begin with ~ begin with the user's home."""
    return with_paths(config, lambda path: str(typed_path(path)) if path.startswith("~") else path)


def check_paths(config: Any) -> None:
    """A path that no file can have, or that cannot be kept as text, is a ValueError."""
    for key, path in paths_of(config).items():
        if path == "":
            raise ValueError(f"{key} is empty: give a path, or leave the key out")
        if path is not None and ("\0" in path or path.encode(errors="ignore") != os.fsencode(path)):
            raise ValueError(
                f"{key}={path!r} holds bytes that are no text in UTF-8: choose another name"
            )


def with_paths(config: Any, change: Callable[[str], str]) -> Any:
    """A copy of nested dataclasses in which `change` was done to every path."""
    changes: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            changes[item.name] = with_paths(value, change)
        elif item.metadata.get("path") and isinstance(value, str):
            changes[item.name] = change(value)
    return replace(config, **changes)


def with_base(config: Config, base: Path) -> Config:
    """A copy in which relative paths begin at `base`.

    Where that is the working folder they stay as they are. So does a name: what is no path of
    anything that is there.
    """
    if base == Path.cwd():
        return config

    def begun(path: str) -> str:
        return str(base / path) if path != "latest" and (base / path).exists() else path

    based: Config = with_paths(config, begun)
    # the one folder that may be yet to make
    return replace(based, outputs=str(base / config.outputs))


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every leaf of nested dataclasses: dotted key, value, what resuming may change.

    That is "free", "longer" or "".
    """
    for item in fields(config):
        value, key = getattr(config, item.name), f"{prefix}{item.name}"
        if is_dataclass(value) and not isinstance(value, type):
            yield from flatten(value, f"{key}.")
        else:
            yield key, value, item.metadata.get("resume", "")


def resolve_precisions(config: Any, device: Device) -> Any:
    """A copy of nested dataclasses in which every `Precision.auto` is decided for `device`."""
    changes: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, Precision):
            changes[item.name] = resolve_precision(value, device)
        elif is_dataclass(value):
            changes[item.name] = resolve_precisions(value, device)
    return replace(config, **changes)


def to_yaml(config: Config) -> str:
    """The configuration as the text of config.yaml."""
    return OmegaConf.to_yaml(structured(config))


def structured(config: Config) -> DictConfig:
    """The configuration as OmegaConf holds it, every text as it is: ${...} is not filled in."""
    return cast(DictConfig, OmegaConf.structured(_literal(config)))


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, list):
        return [_literal(item) for item in value]
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    texts = {item.name: _literal(getattr(value, item.name)) for item in fields(value)}
    return replace(value, **texts)


def check_resumable(old: Config, new: Config, folder: Path) -> None:
    """Refuse a resumed run whose settings would make another run of it.

    Budgets may grow, and run-time keys are free. What a path led to may have moved: the path may
    change where nothing is left there. `folder` is the run's, from which `upstream` is seen.
    """
    before, paths = {key: value for key, value, _ in flatten(old)}, paths_of(old)
    for key, value, rule in flatten(new):
        if value == before[key] or rule == "free" or key.startswith("wandb."):
            continue
        if value and _is_gone(paths.get(key), folder):
            continue
        if rule == "longer" and (value is None or before[key] is None or value > before[key]):
            continue
        hint = "may only grow" if rule == "longer" else "cannot change"
        raise ValueError(
            f"{key} was {before[key]} and is now {value}: it {hint} when a run is resumed; "
            "start a new run instead"
        )


def _is_gone(path: str | None, folder: Path) -> bool:
    """Whether a stored path, not a name, leads to nothing any more."""
    return path is not None and "/" in path and not led_to(folder, path).exists()
