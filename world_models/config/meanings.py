"""What keys and columns mean: the comments beside the fields of the dataclasses, read from their
source."""

import ast
import inspect
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from io import StringIO
from typing import Any, get_args, get_type_hints

from world_models.runs.choices import names_of
from world_models.runs.rows import columns


@dataclass(frozen=True)
class Key:
    """A key of a configuration: its dotted name, its value, what it takes, and what it means."""

    name: str
    value: Any
    # int, float, bool, text, choice or list, and null where it takes that
    kind: str
    meaning: str
    # of an Enum: name -> meaning
    choices: dict[str, str]


def keys_of(config: Any, prefix: str = "") -> Iterator[Key]:
    """Every leaf of nested dataclasses, in their order."""
    schema: Any = type(config)
    hints, said = get_type_hints(schema), meanings(schema)
    for item in fields(config):
        name, value = f"{prefix}{item.name}", getattr(config, item.name)
        if is_dataclass(value):
            yield from keys_of(value, f"{name}.")
        else:
            kinds = _alternatives(hints[item.name])
            choices = {key: text for kind in kinds for key, text in _choices(kind).items()}
            taken = dict.fromkeys(map(_word, kinds))
            if "table" in item.metadata:
                choices, taken = _entries(item.metadata), dict.fromkeys(["choice"])
            yield Key(name, value, " or ".join(taken), said.get(item.name, ""), choices)


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, what its cells hold, what they mean, and in which unit."""

    name: str
    # int, float or text
    kind: str
    meaning: str
    # empty for texts, and for what is counted by its meaning
    unit: str


def columns_of(kind: type) -> Iterator[Column]:
    """The columns of a kind of rows, in their order.

    The comment of a field ends with its unit in brackets. A field without one means its caption.
    """
    hints, said = get_type_hints(kind), meanings(kind)
    for name, entry in columns(kind).items():
        text = said.get(entry.name) or entry.metadata.get("caption", "")
        cell = _word(_alternatives(hints[entry.name])[0])
        unit = re.search(r" \[([^]]+)]$", text)
        meaning = text[: unit.start()] if unit else text
        yield Column(name, cell, meaning, unit[1] if unit else "")


def _alternatives(hint: Any) -> list[Any]:
    """The types of a union; a type that is none is its own only one."""
    is_union = type(None) in get_args(hint)
    return list(get_args(hint)) if is_union else [hint]


def _choices(kind: Any) -> dict[str, str]:
    """Member -> meaning, of an Enum or of a list of one."""
    inner = [*get_args(kind), kind]
    enums = [item for item in inner if isinstance(item, type) and issubclass(item, Enum)]
    return {member.name: meanings(item).get(member.name, "") for item in enums for member in item}


def _entries(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Name -> meaning, of a field that names an entry of a table."""
    words: list[Enum] = [*metadata["words"]]
    said = {word.value: meanings(type(word)).get(word.name, "") for word in words}
    return {
        name: said.get(name) or _first_line(metadata["table"].get(name))
        for name in names_of(metadata)
    }


def _first_line(entry: Any) -> str:
    return (inspect.getdoc(entry) or "").partition("\n")[0].rstrip(".")


def _word(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "choice"
    plain = {int: "int", float: "float", bool: "bool", str: "text", type(None): "null"}
    return plain.get(kind, "keys" if "dict" in str(kind) else "list")


@cache
def meanings(kind: type) -> dict[str, str]:
    """Field of a dataclass, or member of an Enum -> its comment, in one line.

    It stands above the field, or beside it, or both. Fields of base classes have theirs.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base) or (issubclass(base, Enum) and base is not Enum):
            found |= _commented(textwrap.dedent(inspect.getsource(base)))
    return found


def _commented(source: str) -> dict[str, str]:
    alone, beside = _comments(source)
    found = {}
    for name, first, last in _assigned(source):
        above: list[str] = []
        while first - len(above) - 1 in alone:
            above.insert(0, alone[first - len(above) - 1])
        inside = [beside[line] for line in range(first, last + 1) if line in beside]
        if above or inside:
            found[name] = " ".join([*above, *inside])
    return found


def _assigned(source: str) -> Iterator[tuple[str, int, int]]:
    """Names that the body of a class gives values, each with its first and last line."""
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef), source
    for item in definition.body:
        targets = item.targets if isinstance(item, ast.Assign) else []
        targets = [item.target] if isinstance(item, ast.AnnAssign) else targets
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, item.lineno, item.end_lineno or item.lineno


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Line -> comment: of those that have the line for themselves, and of those beside code."""
    alone: dict[int, str] = {}
    beside: dict[int, str] = {}
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            where = beside if token.line[: token.start[1]].strip() else alone
            where[token.start[0]] = token.string.lstrip("# ")
    return alone, beside
