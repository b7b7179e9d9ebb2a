"""Arrays as one run of bytes and a table of where each lies, in as few bytes as they bear."""

from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_SINGLE = 1 << 16
"""Arrays of at most so many numbers are kept in single precision."""
MOST_HALF = 1 << 20
"""Those of at most so many in half precision; larger ones in 8 bits, with a scale per column."""
ALIGNED = 4
"""Arrays begin at multiples of so many bytes, so that they can be read in place."""


@dataclass(frozen=True)
class Packed:
    """Bytes, and of each array its name, its type, its shape, and where it begins."""

    table: list[dict[str, Any]]
    content: bytes


def pack(arrays: dict[str, np.ndarray]) -> Packed:
    """Arrays of floats, each in a precision that depends on its size.

    What half precision cannot hold is a ValueError that names the array.
    """
    table: list[dict[str, Any]] = []
    content = bytearray()
    for name, array in arrays.items():
        for part, stored in _stored(name, np.asarray(array, np.float32)).items():
            shape = list(stored.shape)
            table.append({"name": part, "type": stored.dtype.name, "shape": shape})
            table[-1]["at"] = len(content)
            content += stored.astype(stored.dtype.newbyteorder("<")).tobytes()
            content += bytes(-len(content) % ALIGNED)
    return Packed(table, bytes(content))


def _stored(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of one array, by name."""
    if array.size <= MOST_SINGLE:
        return {name: array}
    if array.size <= MOST_HALF:
        if np.abs(array).max() > np.finfo(np.float16).max:
            raise ValueError(f"{name} has numbers that half precision cannot hold: train it anew")
        return {name: array.astype(np.float16)}
    # 1 where a column is 0 all along
    scale = np.abs(array).max(axis=0) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return {name: np.round(array / scale).astype(np.int8), f"{name}.scale": scale}
