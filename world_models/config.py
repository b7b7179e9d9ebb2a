"""Root schema, and the way from what a user typed to typed dataclasses: one clear sentence for every mistake."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from world_models.envs.make import EnvConfig, ProcgenConfig
from world_models.runs.device import Device, Precision, resolve_precision
from world_models.runs.folder import RUNTIME

CONFIG_FOLDERS = (Path(__file__).parent / "conf", Path(__file__).parents[1] / "conf")
ENV_SCHEMAS: dict[str, type] = {"env": EnvConfig, "procgen": ProcgenConfig}


class Verbosity(Enum):
    """How much a run says: everything, its milestones, or only warnings."""

    debug = "debug"
    info = "info"
    quiet = "quiet"


class WandbMode(Enum):
    """Whether metrics also go to Weights & Biases."""

    disabled = "disabled"
    offline = "offline"
    online = "online"


@dataclass
class WandbConfig:
    """Weights & Biases (extra `wandb`)."""

    mode: WandbMode = WandbMode.disabled
    project: str = "world_models"


@dataclass
class Config:
    """The root keys; `stage` and `env` are filled by their config groups."""

    stage: Any = MISSING
    env: Any = MISSING
    seed: int = 0
    upstream: str = "latest"  # newest finished run of the preceding stage, or a run folder
    outputs: str = field(default="outputs", metadata=RUNTIME)
    device: Device = field(default=Device.auto, metadata=RUNTIME)
    threads: int = field(default=0, metadata=RUNTIME)  # torch threads of the main process; 0: one per core
    verbosity: Verbosity = field(default=Verbosity.info, metadata=RUNTIME)
    wandb: WandbConfig = field(default_factory=WandbConfig, metadata=RUNTIME)

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; it must be 0 (one per core) or more")


@dataclass
class Composed:
    """A configuration and the group choices that made it."""

    config: Config
    choices: dict[str, Any]
    overrides: list[str]


def config_folder() -> Path:
    """Where conf/ lies: inside an installed package, or beside it in a checkout."""
    for folder in CONFIG_FOLDERS:
        if (folder / "config.yaml").is_file():
            return folder
    raise ValueError(f"conf/ is missing: it was looked for in {' and '.join(map(str, CONFIG_FOLDERS))}")


def register(stages: dict[str, type]) -> None:
    """Make the schemas known to Hydra, in a group of their own so that they are not offered as choices."""
    store = ConfigStore.instance()
    store.store(group="schema", name="root", node=Config)
    for name, node in stages.items():
        store.store(group="schema/stage", name=name, node=node)
    for name, node in ENV_SCHEMAS.items():
        store.store(group="schema/env", name=name, node=node)


def options(group: str) -> list[str]:
    """The choices of a config group."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def compose_config(overrides: list[str]) -> Composed:
    """Compose and type-check; every mistake is a ValueError of one sentence."""
    try:
        return typed(*_compose(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error, overrides)) from None


def _compose(overrides: list[str]) -> tuple[DictConfig, DictConfig]:
    """Our part of the composition, and Hydra's."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        raw = compose("config", [addable(item) for item in overrides], return_hydra_config=True)
    info = raw.hydra
    with open_dict(raw):
        del raw["hydra"]
    return raw, info


def addable(override: str) -> str:
    """env.kwargs takes any key, which Hydra wants to be told by a `++`."""
    return f"++{override}" if override.startswith("env.kwargs") else override


def typed(raw: DictConfig, hydra: Any) -> Composed:
    """Turn Hydra's composition into dataclasses; unknown keys and wrong types raise here."""
    choices = {key: hydra.runtime.choices.get(key) for key in ("stage", "env", "experiment")}
    overrides = list(hydra.overrides.task)
    config = OmegaConf.to_object(raw)
    for key in unknown_keys(OmegaConf.to_container(raw, enum_to_str=True), config):
        raise ValueError(_unknown_key(key, list(valid_keys(overrides))))
    assert isinstance(config, Config), type(config)
    return Composed(config, choices, overrides)


def unknown_keys(content: Any, config: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys that were added (with Hydra's `+`) to a part of the configuration whose dataclass has no such field."""
    names = {item.name for item in fields(config)}
    for key, value in content.items():
        if key not in names:
            yield f"{prefix}{key}"
        elif is_dataclass(getattr(config, key)):
            yield from unknown_keys(value, getattr(config, key), f"{prefix}{key}.")


def explain(error: Exception, overrides: list[str], keys: list[str] | None = None) -> str:
    """One sentence for what Hydra or OmegaConf refused, with the valid keys or choices near it."""
    text = f"{error}\n{error.__cause__ or ''}"
    group = re.search(r"Could not find '(stage|env|experiment)/([^']*)'", text)
    if group:
        return f"{group[1]}={group[2]} does not exist; choose one of: {', '.join(options(group[1]))}"
    if "must specify 'stage'" in text:
        return f"stage is missing; choose one: {', '.join(f'stage={name}' for name in options('stage'))}"
    missing = re.search(r"missing mandatory value: .*full_key: (\S+)", text, re.DOTALL)
    if missing:
        example = ": name a Gymnasium environment, for example env.id=Acrobot-v1" if missing[1] == "env.id" else ""
        return f"{missing[1]} is missing{example}"
    unknown = re.search(r"Key '([^']+)' (?:is )?not in '?(\w+)", text) or re.search(
        r"Could not override '([^']+)'", text
    )
    if unknown:
        return _unknown_key(_full_key(text, unknown[1], overrides), keys or list(valid_keys(overrides)))
    merging = re.search(r"Error merging override (\S+?)=(.*)", text)
    full_key = re.search(r"full_key: (\S+)", text)
    reason = next(
        (line.strip() for line in text.splitlines() if line.startswith(("Value ", "Invalid ", "Cannot ", "field "))), ""
    )
    reason = reason or text.strip().splitlines()[0]
    key = merging[1].lstrip("+") if merging else full_key[1] if full_key else ""
    return f"{key}: {reason}" if key else reason


def _full_key(text: str, key: str, overrides: list[str]) -> str:
    """The dotted key as the user typed it."""
    typed_keys = [override.partition("=")[0].lstrip("+~") for override in overrides]
    full = re.search(r"full_key: (\S+)", text)
    candidates = [full[1]] if full else []
    candidates += [name for name in typed_keys if name == key or name.split(".")[-1] == key]
    return candidates[-1] if candidates else key


def _unknown_key(key: str, names: list[str]) -> str:
    near = difflib.get_close_matches(key, names, n=4, cutoff=0.6)
    siblings = [name for name in names if name.rpartition(".")[0] == key.rpartition(".")[0]]
    hint = f"did you mean {', '.join(near)}" if near else f"the keys there are {', '.join(siblings or names)}"
    return f"{key} is no key; {hint}"


def valid_keys(overrides: list[str]) -> Iterator[str]:
    """All dotted keys of the configuration that the group choices among `overrides` select."""
    groups = [text for text in overrides if text.partition("=")[0].lstrip("+") in ("stage", "env", "experiment")]
    try:
        config = typed(*_compose(groups)).config
    except (HydraException, OmegaConfBaseException, ValueError):
        return
    yield from (key for key, _, _ in flatten(config))


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted key, value, what resuming may change: "free", "longer" or "") of every leaf of nested dataclasses."""
    for item in fields(config):
        value, key = getattr(config, item.name), f"{prefix}{item.name}"
        if is_dataclass(value):
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
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def stored_config(run: Path, manifest: dict[str, Any], stage: type) -> Config:
    """The configuration of an earlier run: its config.yaml and what was given whenever it was resumed."""
    try:
        stored = OmegaConf.load(run / "config.yaml")
        env = ProcgenConfig if "game" in stored.env else EnvConfig
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config(stage=stage, env=env)), stored))
    except (OmegaConfBaseException, YAMLError, AttributeError, TypeError, OSError) as error:
        raise ValueError(f"{run / 'config.yaml'} is damaged: {str(error).splitlines()[0]}") from None
    assert isinstance(config, Config), type(config)
    return merged(config, [override for entry in manifest["resumed"] for override in entry["overrides"]])


def merged(config: Config, overrides: list[str]) -> Config:
    """A copy with `overrides` (key=value) merged into it; mistakes as in `compose_config`."""
    try:
        result = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config), OmegaConf.from_dotlist(overrides)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(explain(error, overrides, [key for key, _, _ in flatten(config)])) from None
    assert isinstance(result, Config), type(result)
    return result


def env_keys(env: Any, choice: str) -> list[str]:
    """Overrides that turn the config group's choice into `env`; the backend is left to whoever uses them."""
    plain = compose_config(
        ["stage=runs", f"env={choice}", *(["env.id=any"] if choice == "gymnasium" else [])]
    ).config.env
    before = {key: value for key, value, _ in flatten(plain)}
    changed = [(key, value) for key, value, _ in flatten(env) if before[key] != value and key != "backend"]
    derived = isinstance(env, ProcgenConfig)  # its id follows from the game
    return [f"env.{key}={_hydra_value(value)}" for key, value in changed if not (derived and key == "id")]


def _hydra_value(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra_value, value)) + "]"
    return "null" if value is None else str(value)


def check_resumable(old: Config, new: Config) -> None:
    """Refuse a resumed run whose settings would make another run of it; budgets may grow, run-time keys are free."""
    before = {key: value for key, value, _ in flatten(old)}
    for key, value, rule in flatten(new):
        if value == before[key] or rule == "free" or key.startswith("wandb."):
            continue
        if rule == "longer" and (value is None or before[key] is None or value > before[key]):
            continue
        hint = "may only grow" if rule == "longer" else "cannot change"
        raise ValueError(
            f"{key} was {before[key]} and is now {value}: it {hint} when a run is resumed; start a new run instead"
        )
