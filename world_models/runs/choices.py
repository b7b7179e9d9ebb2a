"""Keys that name an entry of a table, to which other people's code may add entries."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import Enum
from typing import Any


def one_of(table: Mapping[str, Any], words: Iterable[Enum] = ()) -> dict[str, Any]:
    """Metadata of a field that takes the name of an entry, or one of these words."""
    return {"table": table, "words": words}


def names_of(metadata: Mapping[str, Any]) -> list[str]:
    """What such a field takes: the words, then what else is in the table."""
    return [*dict.fromkeys([str(word.value) for word in metadata["words"]] + [*metadata["table"]])]


def require_known(prefix: str, config: Any) -> None:
    """A value of such a field that is no name is a ValueError."""
    for item in fields(config):
        if "table" not in item.metadata:
            continue
        value, names = getattr(config, item.name), names_of(item.metadata)
        if value not in names:
            raise ValueError(
                f"{prefix}.{item.name}={value} is none of {', '.join(names)}; a name of your own "
                "is known once the module that adds it is imported"
            )
