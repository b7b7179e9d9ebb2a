"""The configuration of an earlier run: read back, changed where allowed, typed again."""

import contextlib
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from world_models.config.compose import compose_config, explain
from world_models.config.groups import GROUPS
from world_models.config.own_keys import require_own_keys
from world_models.config.parts import to_dataclasses
from world_models.config.schema import Config, check_paths, flatten, paths_of, structured, with_home
from world_models.config.yaml_file import read_yaml, require_plain
from world_models.envs.config import EnvConfig
from world_models.envs.families import family_of
from world_models.runs.manifest import require_resumable
from world_models.runs.past import PastRun
from world_models.runs.quotes import literal, without_quotes


def stored_config(run: PastRun, stage: type) -> Config:
    """An earlier run's config.yaml, with what was given whenever it was resumed."""
    path = run.path / "config.yaml"
    require_resumable(run.manifest, run.path)
    try:
        stored = read_yaml(path)
        env = _env_schema(stored.env, path)
        _bring_up_to_date(stored.stage, stage, path)
        config = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(Config(stage=stage, env=env)), stored)
        )
    except (OmegaConfBaseException, YAMLError, AttributeError, TypeError, OSError) as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    assert isinstance(config, Config), type(config)
    return merged(config, _given_before(run))


def _given_before(run: PastRun) -> list[str]:
    """The overrides of all earlier resumptions, which state plain values of our own keys."""
    path = run.path / "manifest.json"
    given = [item for entry in run.manifest["resumed"] for item in entry["overrides"]]
    for override in require_own_keys(given, path):
        # a path need be no YAML
        with contextlib.suppress(YAMLError):
            require_plain(override.partition("=")[2], path)
    return given


def _bring_up_to_date(stored: Any, schema: type, path: Path, name: str = "stage") -> None:
    """Drop keys of earlier versions that say what is done anyway; another value is a ValueError.

    Keys that came since get the value that says what was done without them.
    """
    for key, neutral in getattr(schema, "RETIRED", {}).items():
        value = stored.pop(key, neutral)
        if value != neutral:
            raise ValueError(
                f"{path} has {name}.{key}={value}, which this version does not have: "
                "resume the run with the version that made it"
            )
    for key, earlier in getattr(schema, "ADDED", {}).items():
        if key not in stored:
            stored[key] = earlier
    for item in fields(schema):
        if isinstance(item.type, type) and is_dataclass(item.type) and item.name in stored:
            _bring_up_to_date(stored[item.name], item.type, path, f"{name}.{item.name}")


def _env_schema(env: Any, path: Path) -> type[EnvConfig]:
    """The dataclass of a stored environment: its family's, or the plain one if no key is more."""
    if not isinstance(env, DictConfig) or not isinstance(env.get("id"), str):
        raise ValueError(f"{path} is damaged: it has no env.id, which says what was played")
    family = family_of(env.id)
    foreign = family.foreign_keys(map(str, env))
    if foreign:
        raise ValueError(
            f"{path} has env.{', env.'.join(foreign)}, which this version does not have for "
            f"{env.id}: resume the run with the version that made it"
        )
    plain = {item.name for item in fields(EnvConfig)}
    return EnvConfig if plain.issuperset(env) else family.config


def merged(config: Config, overrides: list[str]) -> Config:
    """A copy with `overrides` (key=value) merged into it; mistakes as in `compose_config`."""
    _require_no_choice(overrides)
    try:
        whole = OmegaConf.merge(structured(config), _given(config, overrides))
        result = to_dataclasses(cast(DictConfig, whole))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(
            explain(error, overrides, [key for key, _, _ in flatten(config)])
        ) from None
    assert isinstance(result, Config), type(result)
    check_paths(result)
    return cast(Config, with_home(result))


def _require_no_choice(overrides: list[str]) -> None:
    for item in overrides:
        if item.partition("=")[0] in GROUPS:
            raise ValueError(f"{item}: that is settled by the run that is resumed; leave it out")


def _given(config: Config, overrides: list[str]) -> DictConfig:
    """What `overrides` (key=value) say: paths as they are, all other values read as YAML."""
    paths = [item for item in overrides if item.partition("=")[0] in paths_of(config)]
    given = OmegaConf.from_dotlist([item for item in overrides if item not in paths])
    for key, _, value in (item.partition("=") for item in paths):
        path = literal(without_quotes(value))
        OmegaConf.update(given, key, None if value == "null" else path)
    return given


def env_keys(env: Any, choice: str) -> list[str]:
    """Overrides that turn the config group's choice into `env`; the backend is left open."""
    plain = compose_config(
        ["stage=runs", f"env={choice}", *(["env.id=any"] if choice == "gymnasium" else [])]
    ).config.env
    before = {key: value for key, value, _ in flatten(plain)}
    changed = [
        (key, value) for key, value, _ in flatten(env) if before[key] != value and key != "backend"
    ]
    return [
        f"env.{key}={_hydra_value(value)}"
        for key, value in changed
        if not (key == "id" and _id_follows(env))
    ]


def _id_follows(env: EnvConfig) -> bool:
    """Whether the other keys make the id, as a key may name the game."""
    pattern = type(env).id
    return "${" in pattern and OmegaConf.structured(replace(env, id=pattern)).id == env.id


def _hydra_value(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra_value, value)) + "]"
    return "null" if value is None else str(value)
