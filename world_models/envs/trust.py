"""Which modules an environment may import: those that are loaded, and those that the user named.

An environment's id may name a module (`module:Id`), and so may the arguments of some environments.
Importing one runs its code, so that a file which others wrote must not decide it.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

_trusted: set[str] = set()


def trust(modules: Iterable[str]) -> None:
    """From here on these modules, and what lies inside them, may be imported."""
    _trusted.update(modules)


def trusted() -> list[str]:
    """The modules that the user named."""
    return sorted(_trusted)


def modules_of(env_id: str, kwargs: Any = None) -> list[str]:
    """The modules that an environment's id and its arguments may name.

    In the arguments any text counts that could be read as `module:Name` or `module.Name`:
    environments take classes so, or the id of an environment of another library.
    """
    named = {env_id.partition(":")[0]} if ":" in env_id else set()
    for text in _texts(kwargs):
        head = text.partition(":")[0] if ":" in text else text.rpartition(".")[0]
        if head and not {"/", "\\"} & set(head):
            named.add(head)
    return sorted(named)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def require_trust(env_id: str, kwargs: Any = None) -> None:
    """A ValueError that says what to type where a module would be imported that nobody named."""
    for module in modules_of(env_id, kwargs):
        if module in sys.modules:
            trust([module])
        elif not _is_trusted(module) and (module in modules_of(env_id) or _is_there(module)):
            raise ValueError(
                f"env.id={env_id} would import the module {module}, which runs its code: where you "
                f"know it, type env.trust={module} (in Python: import {module} first)"
            )


def _is_trusted(module: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in _trusted)


def _is_there(module: str) -> bool:
    """Whether there is such a module to import: a text such as 0.5 names none."""
    try:
        return find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False
