"""A stored configuration as it is written: plain values, of a size that a person could read."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from world_models.runs.files import require_regular
from world_models.runs.quotes import FILLED_IN

LARGEST = 1_000_000
"""Bytes of a configuration."""
DEEPEST = 30
"""How far values may lie inside each other."""


def read_yaml(path: Path) -> DictConfig:
    """The configuration in a file.

    One that is too large, that names values to use them again (a few lines of which can stand for
    gigabytes) or that fills in others' values is a ValueError.
    """
    size = require_regular(path)
    if size > LARGEST:
        raise ValueError(f"{path} has {size} bytes; a configuration has {LARGEST} at most")
    try:
        text = path.read_text()
        require_plain(text, path)
        found = OmegaConf.create(text)
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        reason = str(error).removeprefix(f"{path} is damaged: ")
        raise ValueError(f"{path} is damaged: {reason.splitlines()[0]}") from None
    if not isinstance(found, DictConfig):
        raise ValueError(f"{path} is damaged: it holds no keys")
    return found


def require_plain(text: str, path: Path) -> None:
    """Text of YAML that does more than to state values is a ValueError."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"{path} is damaged: it has aliases (& and *): write values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"{path} is damaged: values lie more than {DEEPEST} deep")
        if isinstance(event, yaml.ScalarEvent) and FILLED_IN.search(event.value):
            raise ValueError(f"{path} is damaged: it fills in values by a dollar sign and braces")
