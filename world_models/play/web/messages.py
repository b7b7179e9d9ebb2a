"""What a page may say, and nothing else: each message is parsed before anything is done."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from world_models.play.cast import Driver, Place

MOST_KEYS = 40
Name = Annotated[str, Field(max_length=20)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Hands(_Message):
    """All keys that are held on the page now."""

    kind: Literal["hands"]
    held: Annotated[list[Name], Field(max_length=MOST_KEYS)]


class Press(_Message):
    """A key went down, or the button that stands for it."""

    kind: Literal["press"]
    name: Name


class Turn(_Message):
    """What is to be chosen from now on; what is None stays."""

    kind: Literal["turn"]
    driver: Driver | None = None
    place: Place | None = None
    ghost: bool | None = None
    temperature: float | None = None
    dropout: float | None = None
    horizon: int | None = None


class Hold(_Message):
    """Numbers of z that are held from now on, by their places; all others are let go."""

    kind: Literal["hold"]
    pins: dict[Annotated[int, Field(ge=0, strict=False)], float]


class Seen(_Message):
    """A picture has arrived."""

    kind: Literal["seen"]


Message = Hands | Press | Turn | Hold | Seen
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parsed(text: str) -> Message:
    """A message from its JSON; what is none is a ValueError."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"the page said what is not understood: {where} {first['msg']}") from None


@dataclass(frozen=True)
class Came:
    """A page is open."""


@dataclass(frozen=True)
class Left:
    """A page is closed, or the way to it is lost."""


@dataclass(frozen=True)
class Mail:
    """What one page did or said."""

    page: int
    what: Came | Left | Message
