"""From what a user typed to a typed configuration: one clear sentence for every mistake."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from world_models.config.groups import GROUPS, config_folder, no_such_choice, options, stage_of
from world_models.config.other_words import by_other_words
from world_models.config.own_keys import require_own_keys
from world_models.config.parts import to_dataclasses
from world_models.config.schema import Config, check_paths, flatten, path_keys, with_base, with_home
from world_models.runs.files import typed_path
from world_models.runs.manifest import Choices
from world_models.runs.parsing import require
from world_models.runs.past import PastRun
from world_models.runs.quotes import in_quotes, is_quoted, without_quotes
from world_models.runs.scripts import env_overrides

SWEEP_FOLDER = "hydra.sweep.dir"
REASONS = ("Value ", "Invalid ", "Cannot ", "field ")
"""How a line of Hydra or OmegaConf begins that says why a value was refused."""


@dataclass
class Composed:
    """A configuration and the group choices that made it."""

    config: Config
    choices: dict[str, Any]
    overrides: list[str]

    @property
    def stage(self) -> str:
        """The stage or chain, whichever file of conf/stage gave its values."""
        return stage_of(self.choices["stage"])


def compose_config(overrides: list[str], base: Path | None = None) -> Composed:
    """Compose and type-check; every mistake is a ValueError of one sentence.

    Relative paths begin at `base` (None: at the working folder).
    """
    base = base or Path.cwd()
    overrides = [*env_of_upstream(overrides, base), *overrides]
    try:
        composed = typed(*_compose(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error, overrides)) from None
    return replace(composed, config=with_base(composed.config, base))


def env_of_upstream(overrides: list[str], base: Path) -> list[str]:
    """The overrides that made the env of the named upstream, where none for env is typed."""
    typed_keys = {override.partition("=")[0].lstrip("+") for override in overrides}
    if any(key == "env" or key.startswith("env.") or key == "experiment" for key in typed_keys):
        return []
    for override in overrides:
        key, _, value = override.partition("=")
        path = base / typed_path(without_quotes(value))
        if key == "upstream" and (path / "manifest.json").is_file():
            past = PastRun(path)
            choices = past.manifest.get("choices", {})
            require(Choices, choices, f"{past.path / 'manifest.json'}, choices")
            return require_own_keys(env_overrides(choices), past.path / "manifest.json")
    return []


def _compose(overrides: list[str]) -> tuple[DictConfig, DictConfig]:
    """Our part of the composition, and Hydra's."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        raw = compose("config", [addable(item) for item in overrides], return_hydra_config=True)
    info = raw.hydra
    with open_dict(raw):
        del raw["hydra"]
    return raw, info


def quoted(override: str, several: bool = False) -> str:
    """The override, its path in quotes: Hydra takes it as typed, whatever characters it holds.

    In a sweep (`several`) commas part paths, but not one that exists. What stands in quotes is left
    as it is, as are `latest` and `null`.
    """
    key, _, value = override.partition("=")
    if key.lstrip("+") not in (*path_keys(), SWEEP_FOLDER) or value in ("", "latest", "null"):
        return override
    several = several and key.lstrip("+") not in ("outputs", SWEEP_FOLDER)
    if is_quoted(value) or (several and re.match(r"(choice|glob|range)\(", value)):
        return override
    paths = _parted(value.split(",")) if several else [value]
    return f"{key}={','.join(map(in_quotes, paths))}"


def _parted(pieces: list[str]) -> list[str]:
    """Paths that stood between commas; the longest that exist are put together again."""
    if not pieces:
        return []
    ends = range(len(pieces), 1, -1)
    whole = (end for end in ends if typed_path(",".join(pieces[:end])).exists())
    end = next(whole, 1)
    return [",".join(pieces[:end]), *_parted(pieces[end:])]


def addable(override: str) -> str:
    """env.kwargs takes any key, which Hydra wants to be told by a `++`."""
    return f"++{override}" if override.startswith("env.kwargs") else override


def typed(raw: DictConfig, hydra: Any) -> Composed:
    """Turn Hydra's composition into dataclasses; unknown keys and wrong types raise here."""
    choices = {key: hydra.runtime.choices.get(key) for key in GROUPS}
    overrides = list(hydra.overrides.task)
    config = to_dataclasses(raw)
    for key in unknown_keys(OmegaConf.to_container(raw, enum_to_str=True), config):
        raise ValueError(_unknown_key(key, list(valid_keys(overrides))))
    assert isinstance(config, Config), type(config)
    check_paths(config)
    return Composed(cast(Config, with_home(config)), choices, overrides)


def unknown_keys(content: Any, config: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys, added with Hydra's `+`, for which the dataclass there has no field."""
    names = {item.name for item in fields(config)}
    for key, value in content.items():
        if key not in names:
            yield f"{prefix}{key}"
        elif is_dataclass(getattr(config, key)):
            yield from unknown_keys(value, getattr(config, key), f"{prefix}{key}.")


def explain(error: Exception, overrides: list[str], keys: list[str] | None = None) -> str:
    """One sentence for what Hydra or OmegaConf refused, with the valid keys or choices near it."""
    text = f"{error}\n{error.__cause__ or ''}"
    choice_or_value = _what_is_missing(text)
    if choice_or_value:
        return choice_or_value
    unknown = re.search(r"Key '([^']+)' (?:is )?not in '?(\w+)", text) or re.search(
        r"Could not override '([^']+)'", text
    )
    if unknown:
        key = _full_key(text, unknown[1], overrides)
        return _unknown_key(key, keys or list(valid_keys(overrides)))
    return _what_is_refused(text)


def _what_is_missing(text: str) -> str:
    """A sentence on a choice that does not exist, or a value that nobody gave; else empty."""
    group = re.search(r"Could not find '(stage|env|experiment)/([^']*)'", text)
    if group:
        return no_such_choice(group[1], group[2])
    if "must specify 'stage'" in text:
        choices = ", ".join(f"stage={name}" for name in options("stage"))
        return f"stage is missing; choose one: {choices}"
    missing = re.search(r"missing mandatory value: .*full_key: (\S+)", text, re.DOTALL)
    if missing is None:
        return ""
    if missing[1] == "env.id":
        return "env.id is missing: name a Gymnasium environment, for example env.id=Acrobot-v1"
    return f"{missing[1]} is missing"


def _what_is_refused(text: str) -> str:
    """The line that says why a value was refused, after its key where that is named."""
    lines = text.strip().splitlines()
    reasons = [line for line in lines if line.startswith(REASONS)]
    reason = reasons[0].strip() if reasons else lines[0]
    key = re.search(r"Error merging override \+*(\S+?)=", text) or re.search(
        r"full_key: (\S+)", text
    )
    return f"{key[1]}: {reason}" if key else reason


def _full_key(text: str, key: str, overrides: list[str]) -> str:
    """The dotted key as the user typed it."""
    typed_keys = [override.partition("=")[0].lstrip("+~") for override in overrides]
    full = re.search(r"full_key: (\S+)", text)
    candidates = [full[1]] if full else []
    candidates += [name for name in typed_keys if name == key or name.split(".")[-1] == key]
    return candidates[-1] if candidates else key


def _unknown_key(key: str, names: list[str]) -> str:
    if not names:
        return f"{key} is no key of every choice that was made"
    near = by_other_words(key, names) or difflib.get_close_matches(
        key, [name for name in names if name != key], n=4, cutoff=0.6
    )
    siblings = [name for name in names if name.rpartition(".")[0] == key.rpartition(".")[0]]
    hint = (
        f"did you mean {', '.join(near)}"
        if near
        else f"the keys there are {', '.join(siblings or names)}"
    )
    return f"{key} is no key; {hint}"


def valid_keys(overrides: list[str]) -> Iterator[str]:
    """All dotted keys of the configuration that the group choices among `overrides` select."""
    groups = [text for text in overrides if text.partition("=")[0].lstrip("+") in GROUPS]
    try:
        config = typed(*_compose(groups)).config
    except (HydraException, OmegaConfBaseException, ValueError):
        return
    yield from (key for key, _, _ in flatten(config))
