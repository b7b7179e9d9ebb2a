"""The configuration of an earlier run: read back, changed where that is allowed, typed again as a command."""

from enum import Enum
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from world_models.config.compose import compose_config, explain
from world_models.config.schema import Config, flatten, with_home
from world_models.envs.make import EnvConfig, ProcgenConfig
from world_models.runs.past import PastRun


def stored_config(run: PastRun, stage: type) -> Config:
    """The configuration of an earlier run: its config.yaml and what was given whenever it was resumed."""
    try:
        stored = OmegaConf.load(run.path / "config.yaml")
        env = ProcgenConfig if "game" in stored.env else EnvConfig
        config = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(Config(stage=stage, env=env)), stored)
        )
    except (OmegaConfBaseException, YAMLError, AttributeError, TypeError, OSError) as error:
        raise ValueError(
            f"{run.path / 'config.yaml'} is damaged: {str(error).splitlines()[0]}"
        ) from None
    assert isinstance(config, Config), type(config)
    return merged(
        config, [override for entry in run.manifest["resumed"] for override in entry["overrides"]]
    )


def merged(config: Config, overrides: list[str]) -> Config:
    """A copy with `overrides` (key=value) merged into it; mistakes as in `compose_config`."""
    try:
        result = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(config), OmegaConf.from_dotlist(overrides))
        )
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(
            explain(error, overrides, [key for key, _, _ in flatten(config)])
        ) from None
    assert isinstance(result, Config), type(result)
    return cast(Config, with_home(result))


def env_keys(env: Any, choice: str) -> list[str]:
    """Overrides that turn the config group's choice into `env`; the backend is left to whoever uses them."""
    plain = compose_config(
        ["stage=runs", f"env={choice}", *(["env.id=any"] if choice == "gymnasium" else [])]
    ).config.env
    before = {key: value for key, value, _ in flatten(plain)}
    changed = [
        (key, value) for key, value, _ in flatten(env) if before[key] != value and key != "backend"
    ]
    derived = isinstance(env, ProcgenConfig)  # its id follows from the game
    return [
        f"env.{key}={_hydra_value(value)}"
        for key, value in changed
        if not (derived and key == "id")
    ]


def _hydra_value(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra_value, value)) + "]"
    return "null" if value is None else str(value)
