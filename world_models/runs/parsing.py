"""What stored files say is checked before it is used: a schema for each kind, one sentence for a
field that is missing, of another type or out of range."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""A whole number from 0 on that fits 64 bits."""
Text = Annotated[str, Field(max_length=10_000)]
LONGEST_QUOTE = 40
"""Characters of a wrong value that a sentence shows."""


class Stored(BaseModel):
    """The fields of a stored file that a reader relies on; others are left alone.

    Types are exact: no text is taken for a number, and no number is NaN or infinite.
    """

    # built when first used: a command that reads no such file does not wait for it
    model_config = ConfigDict(
        strict=True, arbitrary_types_allowed=True, allow_inf_nan=False, defer_build=True
    )


class Input(Stored):
    """A file on which something was built."""

    kind: Text
    path: Text
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


S = TypeVar("S", bound=Stored)


def require(schema: type[Stored], content: Any, place: str | Path) -> None:
    """Content that does not fit its schema is a ValueError that names the place and the field."""
    if found := flaw(schema, content):
        raise damaged(place, found)


def parsed(schema: type[S], content: Any, place: str | Path) -> S:
    """The fields of content that is as its schema says; else a ValueError as in `require`."""
    require(schema, content, place)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise damaged(place, _sentence(error.errors(include_url=False)[0])) from None


def flaw(schema: type[Stored], content: Any) -> str:
    """What is wrong with content, the field first; empty where it fits its schema."""
    if not isinstance(content, dict):
        return f"it holds {_quoted(content)} and no table of fields"
    try:
        schema.model_validate(content)
    except ValidationError as error:
        return next(map(_sentence, flaws(error)), "")
    return ""


def flaws(error: ValidationError) -> "list[ErrorDetails]":
    """What is wrong with content; bytes of a path that are no UTF-8 are not."""
    found = error.errors(include_url=False)
    return [one for one in found if one["type"] != "string_unicode"]


def damaged(place: str | Path, what: str) -> ValueError:
    """The error for a stored file in which something cannot be."""
    return ValueError(f"{place} is damaged: {what}; restore it, or make it again")


def _sentence(found: "ErrorDetails") -> str:
    """What is wrong, the field first."""
    field = _field(found["loc"])
    if found["type"] == "missing":
        return f"{field} is missing"
    what = found["msg"].removeprefix("Value error, ")
    what = what[:1].lower() + what[1:]
    if found["type"] == "value_error":
        return f"{field}: {what}" if field else what
    return f"{field} is {_quoted(found['input'])}, {what}"


def _field(place: tuple[int | str, ...]) -> str:
    """episodes[3].length of ("episodes", 3, "length")."""
    joined = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return joined.removeprefix(".")


def _quoted(value: Any) -> str:
    """A value for people: containers, which may be endless, are not looked into."""
    if isinstance(value, dict | list | tuple | set):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value) if isinstance(value, str | float | bool | None) else _type_or_number(value)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "..."


def _type_or_number(value: Any) -> str:
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else f"a number of {value.bit_length()} bits"
    return f"a {type(value).__name__}"
