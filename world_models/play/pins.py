"""Numbers of z that a person holds at values of their own."""

from collections.abc import Mapping

from torch import Tensor

Pins = Mapping[int, float]
"""Which number of z is held, and where."""


def pinned(z: Tensor, pins: Pins) -> Tensor:
    """z (1, L) with the held numbers in place; without any it is z itself."""
    if not pins:
        return z
    held = z.clone()
    for number, value in pins.items():
        held[0, number] = value
    return held
