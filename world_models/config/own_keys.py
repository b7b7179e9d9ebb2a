"""Which overrides are taken from a file: those that set keys of our own schema, as plain values.

Hydra's overrides can do more: choose files anywhere, fill in variables of the environment, and make
Hydra call any function. What a user types may do so, what was stored may not.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from world_models.config.groups import GROUPS
from world_models.config.schema import Config
from world_models.runs.folder import display_path
from world_models.runs.quotes import FILLED_IN

KEY = re.compile(r"\+{0,2}([A-Za-z]\w*)(\.\w+)*")
CHOICE = re.compile(r"[\w-]+")
TARGET = re.compile(r"""_target_['"\s]*[:=]""")
"""A key inside a mapping that Hydra would call."""
LAUNCHER = re.compile(r"hydra/launcher=(basic|joblib)|hydra\.launcher\.n_jobs=-?\d+")
LONGEST = 10_000
"""Characters of an override."""


def require_own_keys(overrides: Any, path: Path) -> list[str]:
    """The overrides that `path` holds; one that may not stand in a file is a ValueError."""
    if not isinstance(overrides, list) or not all(isinstance(item, str) for item in overrides):
        raise ValueError(f"{display_path(path)} is damaged: its overrides are no list of texts")
    for item in overrides:
        reason = _foreign(item)
        if reason:
            raise ValueError(
                f"{display_path(path)} holds {_shortened(item)}, which {reason}: no file may ask "
                "for that, so take it out, or type it yourself in a new run"
            )
    return overrides


def _foreign(override: str) -> str:
    """Why an override may not stand in a file; empty where it may."""
    key, equals, value = override.partition("=")
    found = KEY.fullmatch(key) if equals else None
    if found is None or found[1] not in {*(item.name for item in fields(Config)), *GROUPS}:
        return "sets no key of world_models"
    if "._" in key or TARGET.search(value):
        return "names something to be called"
    if key.lstrip("+") in GROUPS and not CHOICE.fullmatch(value):
        return f"names no choice of {found[1]}"
    filled_in = FILLED_IN.findall(value)
    if len(filled_in) > 1 or any(":" in name for name in filled_in):
        return "fills in more than another key"
    return f"is longer than {LONGEST} characters" if len(override) > LONGEST else ""


def require_own_launcher(overrides: Any, path: Path) -> list[str]:
    """What `path` says about who runs the jobs; more than joblib and how many is a ValueError."""
    for item in overrides:
        if not LAUNCHER.fullmatch(item):
            raise ValueError(
                f"{display_path(path)} holds {_shortened(item)}: of who runs the jobs a file may "
                "say hydra/launcher=joblib and hydra.launcher.n_jobs alone, so type it again"
            )
    return list(overrides)


def _shortened(override: str) -> str:
    return override if len(override) <= 100 else f"{override[:100]}..."
