"""Malformed and hostile content, drawn from a seed: of fields, and of bytes."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import torch

OTHER_TYPES: list[Any] = [None, "text", "", [], {}, [None], {"a": 1}, [[[[]]]]]


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every field lies, containers included; of a long list the ends."""
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list | tuple):
        items = list(enumerate(content))
        items = items if len(items) < 6 else [*items[:2], *items[-2:]]
    else:
        items = []
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


def with_odd_field(
    content: Any, draw: random.Random, fixed: tuple[str, ...] = ()
) -> tuple[str, Any]:
    """A copy in which one field is missing, of another type or out of range, and what was done.

    Below the keys `fixed` nothing is changed: a reader may leave alone what lies there.
    """
    content = copy.deepcopy(content)
    known = [place for place in places(content) if not set(fixed) & set(place)]
    *above, last = draw.choice(known)
    holder = content
    for key in above:
        holder = holder[key]
    if isinstance(holder, tuple):
        return with_odd_field(content, draw, fixed)
    before = holder[last]
    # a list may be shorter
    if isinstance(holder, dict) and draw.random() < 0.25:
        del holder[last]
        return f"without {(*above, last)}", content
    holder[last] = odd_value(before, draw)
    return f"{(*above, last)} = {str(holder[last])[:40]}", content


def odd_value(value: Any, draw: random.Random) -> Any:
    """A value that a field which held `value` cannot have."""
    if isinstance(value, torch.Tensor):
        return draw.choice(odd_tensors(value))
    if isinstance(value, bool):
        return draw.choice([2, "true", None, []])
    if isinstance(value, int | float):
        beyond = [-2, -7, 10**30, -(10**30), float("nan"), float("inf")]
        return draw.choice([*beyond, "1", None, [], {}, *([1.5] if isinstance(value, int) else [])])
    if isinstance(value, str):
        return draw.choice([3, 1.5, None, [], {}, True])
    others = [other for other in OTHER_TYPES if type(other) is not type(value)]
    return draw.choice([*others, 3, -1.5, True])


def odd_tensors(value: torch.Tensor) -> list[Any]:
    """What cannot stand in place of a tensor."""
    flat = value.reshape(-1)
    if not flat.numel():
        return ["tensor"]
    wide = flat[:1].expand(10**9)
    nans = torch.full_like(value, float("nan")) if value.is_floating_point() else wide
    whole = torch.full_like(value, float("inf")) if value.is_floating_point() else wide
    other = value.to(torch.int8 if value.dtype != torch.int8 else torch.float32)
    return [nans, whole, other, value.unsqueeze(0), wide, None, 3.0, value.tolist()]


def with_odd_bytes(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Bytes cut short, changed in one bit, or no content at all."""
    kind = draw.choice(["flip", "flip", "flip", "flip", "cut", "cut", "other"])
    place = draw.randrange(max(1, len(content)))
    if kind == "cut":
        return f"cut at {place}", content[:place]
    if kind == "flip":
        bit = 1 << draw.randrange(8)
        changed = bytes([content[place] ^ bit])
        return f"bit {bit} of byte {place}", content[:place] + changed + content[place + 1 :]
    other = [b"", b"[" * 100_000, b"\xff\xfe" * 50, b"PK\x03\x04", b"null", b"{}", b"1" * 10_000]
    found = draw.choice(other)
    return f"{found[:10]!r}", found
