"""Texts written so that Hydra and OmegaConf take them as they are, and read back."""

import re
from enum import Enum
from typing import Any

FILLED_IN = re.compile(r"(?<!\\)(?:\\\\)*\$\{([^}]*)")
"""${...} that is not escaped."""
QUOTES = ("'", '"')


def printable(text: str) -> str:
    """The text as a terminal may show it: what would steer the terminal is written out."""
    kept = [char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text]
    return "".join(kept)


def literal(text: str) -> str:
    """The text as OmegaConf must be given it, which otherwise fills in each ${...}."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def in_quotes(text: str) -> str:
    """The text as Hydra must be given it among overrides."""
    escaped = re.sub(r"(\\*)('|\Z)", _protected, literal(text))
    return f"'{escaped}'"


def _protected(found: re.Match[str]) -> str:
    """Hydra reads backslashes before a quote, and only those, in pairs."""
    return 2 * found[1] + ("\\'" if found[2] else "")


def as_typed(value: Any) -> str:
    """A value of a configuration as it is typed, a list in brackets."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    return str(value)


def is_quoted(text: str) -> bool:
    """Whether the whole text stands in quotes of one kind."""
    return len(text) > 1 and text[0] in QUOTES and text[0] == text[-1]


def plain_value(text: str) -> str:
    """What the value of an override stands for, in quotes or with backslashes before characters."""
    return without_quotes(text) if is_quoted(text) else re.sub(r"\\(.)", r"\1", text)


def without_quotes(text: str) -> str:
    """What the value of an override stands for: the inverse of `in_quotes`."""
    if not is_quoted(text):
        return text
    inner = re.sub(rf"(\\*)(\\{text[0]}|\Z)", lambda m: m[1][::2] + m[2][-1:], text[1:-1])
    return re.sub(r"(\\*)\\\$\{", lambda m: m[1][::2] + "${", inner)
