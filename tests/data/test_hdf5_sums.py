"""A changed byte of an HDF5 file that we wrote is found when it is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.data.interchange.hdf5 import Hdf5Source, export
from world_models.data.interchange.recording import Alignment
from world_models.data.store import EpisodeStore

h5py = pytest.importorskip("h5py")


def seen(path: Path) -> list[Any]:
    source = Hdf5Source(path, None, None)
    found = [vars(source.read(number)) for number in range(len(source))]
    return [str(source.origin), *(repr(plain(row)) for row in found)]


def plain(row: dict[str, Any]) -> list[Any]:
    return [value.tobytes() if isinstance(value, np.ndarray) else value for value in row.values()]


def test_a_changed_byte_is_found_or_changes_nothing(
    make_store: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    path = tmp_path / "episodes.h5"
    list(export(make_store([5, 1, 9]), path, Alignment.pre))
    whole, content, refused = seen(path), path.read_bytes(), 0
    for place in range(0, len(content), len(content) // 60):
        changed = bytes([content[place] ^ 1 << place % 8])
        path.write_bytes(content[:place] + changed + content[place + 1 :])
        try:
            assert seen(path) == whole, place
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 20
    path.write_bytes(content)
    with h5py.File(path) as file:
        assert all(file[name].fletcher32 for name in file)
