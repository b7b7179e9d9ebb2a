"""Memory maps of shards, and how many may be open at a time."""

import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
MOST_FILES = 1 << 16
"""As many open files a process asks for where more are allowed: the kernel has as many maps."""
FILES_PER_SHARD = 16
"""Open files that a shard counts for: four columns, of several stores, beside all other files."""


def map_array(path: Path) -> Array:
    """The array in a .npy file, read only.

    Its pages are loaded as they are touched, and shared between processes.
    """
    return np.load(path, mmap_mode="r").view(np.ndarray)


@cache
def most_open() -> int:
    """The number of shards of a folder whose maps are kept open: each is an open file.

    The first call raises this process's soft limit of open files as far as that is allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed // FILES_PER_SHARD)


class OpenMaps:
    """The maps of a folder's shards: those used last stay open."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, tuple[Array, ...]] = OrderedDict()

    def of(self, shard: int, map_shard: Callable[[int], tuple[Array, ...]]) -> tuple[Array, ...]:
        """The columns of one shard, mapped anew where they are not open."""
        if shard not in self._open:
            self._open[shard] = map_shard(shard)
        self._open.move_to_end(shard)
        while len(self._open) > most_open():
            self._open.popitem(last=False)
        return self._open[shard]


def items_by_shards(shards: Array) -> Iterator[list[int]]:
    """The items whose shards are given (B,), in groups that read few enough shards at a time."""
    if len(set(shards.tolist())) <= most_open():
        yield list(range(len(shards)))
        return
    _, numbers = np.unique(shards, return_inverse=True)
    groups = numbers // most_open()
    for group in range(groups.max() + 1):
        yield np.flatnonzero(groups == group).tolist()
