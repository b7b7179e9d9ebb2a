"""Help on a stage: its keys, with their values, what they take, and what they mean."""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from world_models.chains import catalogue
from world_models.config.compose import Composed, compose_config
from world_models.config.meanings import Key, keys_of
from world_models.runs.quotes import as_typed

WIDTH = 100
INDENT = 44
"""Columns that a key and its value have."""
OTHERS = "Root keys, of every stage"


def show_help(overrides: list[str]) -> None:
    """Print what the keys of a stage mean, as they are with what was typed."""
    composed = compose_config(overrides)
    sections = [_stage(composed), _environment(composed), _root(composed)]
    sys.stdout.write("\n\n".join(sections) + "\n")


def _stage(composed: Composed) -> str:
    """The stage: what its file says of it, and its keys."""
    config = composed.config.stage
    head = _head(f"stage={composed.choices['stage']}", catalogue.about(composed.stage))
    return "\n\n".join([head, inspect.getdoc(config) or "", _listed(config, "stage.")])


def _head(choice: str, about: str) -> str:
    """What was chosen, and what that is."""
    return textwrap.fill(f"{choice}: {about}", WIDTH, break_on_hyphens=False)


def _environment(composed: Composed) -> str:
    head = _head(f"env={composed.choices['env']}", inspect.getdoc(composed.config.env) or "")
    return f"{head}\n\n{_listed(composed.config.env, 'env.')}"


def _root(composed: Composed) -> str:
    own = [key for key in keys_of(composed.config) if not key.name.startswith(("stage.", "env."))]
    return "\n".join([f"{OTHERS}\n", *map(_entry, own)])


def _listed(config: Any, prefix: str) -> str:
    return "\n".join(map(_entry, keys_of(config, prefix))) or "It has no keys."


def _entry(key: Key) -> str:
    """The lines of a key."""
    head = f"{key.name}={as_typed(key.value)}"
    lines = textwrap.wrap(f"{key.meaning} ({key.kind})", WIDTH - INDENT, break_on_hyphens=False)
    lines += [line for choice in key.choices.items() for line in _choice(*choice)]
    first = [head.ljust(INDENT) + lines[0]] if len(head) < INDENT else [head, _moved(lines[0])]
    return "\n".join([*first, *map(_moved, lines[1:])])


def _choice(name: str, meaning: str) -> Iterator[str]:
    """The lines of one choice."""
    text = f"{name}: {meaning}" if meaning else name
    yield from textwrap.wrap(text, WIDTH - INDENT, initial_indent="  ", subsequent_indent="    ")


def _moved(line: str) -> str:
    return " " * INDENT + line
