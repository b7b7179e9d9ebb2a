"""Parts of a configuration: what one refuses names its keys as they are typed where it stands."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


def to_dataclasses(raw: DictConfig) -> Any:
    """The dataclasses of a composition; what a part refuses is a ValueError.

    A part is tried before what it is a part of, under the name of its place.
    """
    for place in parts_of(OmegaConf.get_type(raw, "stage"), "stage"):
        node = OmegaConf.select(raw, place)
        try:
            OmegaConf.to_object(node)
        except OmegaConfBaseException:
            # it is explained by what was typed
            raise
        except ValueError as error:
            raise ValueError(at_place(str(error), place, OmegaConf.get_type(node))) from None
    return OmegaConf.to_object(raw)


def parts_of(schema: Any, place: str) -> Iterator[str]:
    """The places of all dataclasses inside a dataclass at `place`, the innermost first."""
    if not is_dataclass(schema):
        return
    for item in fields(schema):
        if is_dataclass(item.type):
            inside = f"{place}.{item.name}"
            yield from parts_of(item.type, inside)
            yield inside


def at_place(sentence: str, place: str, schema: Any) -> str:
    """A sentence on keys of a part, as they are typed where the part stands at `place`.

    A part speaks of `stage.<key>` where it is a stage by itself, and of `stage.<name>.<key>` where
    it is a part of one stage; in a chain the stage's name comes between. Keys that its dataclass
    `schema` lacks are those of other stages, and stay as they are.
    """
    if f"{place}." in sentence:
        return sentence
    name = place.rpartition(".")[2]
    own = f"stage.{name}." if f"stage.{name}." in sentence else "stage."
    keys = "|".join(item.name for item in fields(schema))
    return re.sub(rf"\b{re.escape(own)}(?=({keys})\b)", f"{place}.", sentence)
