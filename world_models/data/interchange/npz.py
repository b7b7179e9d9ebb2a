"""Folders of .npz rollouts, one episode a file.

A file holds observations, actions, rewards, terminals, and what we add.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from world_models.data.arrays import Array
from world_models.data.episode import UNKNOWN_SEED
from world_models.data.interchange.recording import (
    BOUNDARY_NAMES,
    Alignment,
    Recording,
    Rows,
    as_rows,
    ends_with_frame,
    in_order,
    origin_of,
    parse_origin,
    settle_alignment,
)
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.runs.files import replacing

REQUIRED_ENTRIES = ("observations", "actions", "rewards", "terminals")
OPTIONAL_ENTRIES = ("truncations", "seed", "split", "alignment", "origin", *BOUNDARY_NAMES.values())
# what numpy raises for a file that is damaged or of another kind
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


class NpzSource:
    """The .npz files below a folder, in the order of their paths; or a single one."""

    def __init__(self, path: Path, alignment: Alignment | None, limit: int | None) -> None:
        """Look into every file's table of contents, and at the first file's own entries."""
        self.files = [path] if path.is_file() else sorted(path.rglob("*.npz"))
        for file in self.files:
            _require_keys(file)
        first = _load(self.files[0], OPTIONAL_ENTRIES)
        place = str(self.files[0])
        self.alignment = settle_alignment(place, _text(first, "alignment"), alignment)
        self.origin = parse_origin(place, _text(first, "origin"))
        self._has_boundary = BOUNDARY_NAMES[self.alignment] in first
        self.has_final_frame = ends_with_frame(self.origin, self.alignment, self._has_boundary)
        self._limit = limit

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Recording:
        """One episode; a file that is damaged or unlike the first one is a ValueError naming it."""
        place = str(self.files[index])
        content = _load(self.files[index], REQUIRED_ENTRIES + OPTIONAL_ENTRIES)
        settle_alignment(place, _text(content, "alignment"), self.alignment)
        boundary = content.get(BOUNDARY_NAMES[self.alignment])
        if (boundary is not None) != self._has_boundary:
            name = BOUNDARY_NAMES[self.alignment]
            having = "lacks" if self._has_boundary else "has"
            raise ValueError(
                f"{place} {having} the entry {name!r}, unlike {self.files[0]}: convert them apart"
            )
        rows = Rows(
            place=place,
            observations=content["observations"],
            actions=content["actions"],
            rewards=content["rewards"],
            terminals=content["terminals"],
            truncations=content.get("truncations"),
            boundary=boundary,
            seed=int(content["seed"]) if "seed" in content else UNKNOWN_SEED,
            split=_text(content, "split"),
        )
        return in_order(rows, self.alignment, self._limit)


def _require_keys(path: Path) -> None:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = file.files
    except READ_ERRORS as error:
        raise _damaged(path, error) from None
    missing = [name for name in REQUIRED_ENTRIES if name not in found]
    if missing:
        raise ValueError(
            f"{path} has no {' and no '.join(map(repr, missing))}: "
            f"its entries are {', '.join(found) or 'none'}, "
            f"and an episode needs {', '.join(REQUIRED_ENTRIES)}"
        )


def _load(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """Those of the entries `names` that the file has."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file.files}
    except READ_ERRORS as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is truncated, or no .npz file of plain arrays: {error}")


def _text(content: dict[str, Array], name: str) -> str | None:
    return str(content[name]) if name in content else None


def export(store: EpisodeStore, folder: Path, alignment: Alignment) -> Iterator[EpisodeRow]:
    """Write one file per episode; yields each episode once its file is whole.

    Files that are there already are kept.
    """
    folder.mkdir(exist_ok=True)
    for row in store.rows:
        path = folder / f"episode_{row.index:06d}.npz"
        if not path.is_file():
            with replacing(path) as file:
                np.savez_compressed(file, **_content(store, row, alignment))
        yield row


def _content(store: EpisodeStore, row: EpisodeRow, alignment: Alignment) -> dict[str, Any]:
    rows = as_rows(store, row, alignment)
    assert rows.terminals is not None and rows.truncations is not None
    return {
        "observations": rows.observations,
        "actions": rows.actions,
        "rewards": rows.rewards,
        "terminals": rows.terminals.astype(np.float32),
        "truncations": rows.truncations.astype(np.float32),
        BOUNDARY_NAMES[alignment]: rows.boundary,
        "seed": np.int64(rows.seed),
        "split": np.str_(rows.split),
        "alignment": np.str_(alignment.value),
        "origin": np.str_(origin_of(store)),
    }
