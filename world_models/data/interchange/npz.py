"""Folders of .npz rollouts, one episode a file.

`layouts` names the entries that are read; what we write is ROLLOUT's, and what we add.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from world_models.data.arrays import Array
from world_models.data.interchange.layouts import OURS, Layout, layout_of, rows_of
from world_models.data.interchange.ordering import as_seed, in_order
from world_models.data.interchange.recording import (
    BOUNDARY_NAMES,
    Alignment,
    Recording,
    as_rows,
    ends_with_frame,
    origin_of,
    parse_origin,
    refuse_alignment,
    settle_alignment,
)
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.runs.files import replacing
from world_models.runs.finding import Found, find_files

PROBES = 20
"""Files looked at for one that can be read: where all of them are bad, the folder is another's."""
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
        """Look at the first file that can be read: all others must be like it."""
        self._folder = path.parent if path.is_file() else path
        found = Found([path], []) if path.is_file() else find_npz(path)
        self.files = found.files
        self._limit = limit
        self._first, names, self._layout = _first_readable(self.files)
        ours = _load(self._first, OURS)
        self.alignment = self._alignment(self._first, ours, alignment)
        self.origin = parse_origin(str(self._first), _text(ours, "origin"))
        self._has_boundary = self._boundary in names
        self.has_final_frame = self.alignment is None or ends_with_frame(
            self.origin, self.alignment, self._has_boundary
        )
        self.notes = _notes(self._folder, found, self._layout)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """The path of a file below the folder."""
        return str(self.files[index].relative_to(self._folder))

    def read(self, index: int) -> Recording:
        """One episode; a file that is damaged or unlike the first one is a ValueError naming it."""
        path = self.files[index]
        self._require_likeness(path)
        content = _load(path, self._layout.entries)
        alignment = self._alignment(path, content, self.alignment)
        parse_origin(str(path), _text(content, "origin"))
        rows = replace(
            rows_of(self._layout, str(path), content),
            boundary=content.get(self._boundary),
            seed=as_seed(str(path), content.get("seed")),
            split=_text(content, "split"),
        )
        return in_order(rows, alignment, self._limit)

    @property
    def _boundary(self) -> str:
        """The entry that holds the one frame which the rows leave out."""
        return "" if self.alignment is None else BOUNDARY_NAMES[self.alignment]

    def _alignment(
        self, path: Path, content: dict[str, Array], asked: Alignment | None
    ) -> Alignment | None:
        if self._layout.has_every_frame:
            refuse_alignment(f"{path} is {self._layout.whose}", asked)
            return None
        return settle_alignment(str(path), _text(content, "alignment"), asked)

    def _require_likeness(self, path: Path) -> None:
        """A file of another layout than the first one is a ValueError."""
        names = _names(path)
        layout = layout_of(str(path), names)
        if layout is not self._layout:
            raise ValueError(
                f"{path} is {layout.whose}, and {self._first} {self._layout.whose}: "
                "convert them apart"
            )
        if (self._boundary in names) != self._has_boundary:
            having = "lacks" if self._has_boundary else "has"
            raise ValueError(
                f"{path} {having} the entry {self._boundary!r}, unlike {self._first}: "
                "convert them apart"
            )


def find_npz(folder: Path) -> Found:
    """The .npz files below a folder, and all others."""
    found = find_files(folder)
    npz = [path for path in found.files if path.suffix.lower() == ".npz"]
    others = [path for path in found.files if path.suffix.lower() != ".npz"]
    return Found(npz, [*found.left_out, *others])


def _first_readable(files: list[Path]) -> tuple[Path, list[str], Layout]:
    """The first file with a layout, its entries and its layout.

    Where the first few files have none it is the first one's ValueError.
    """
    errors = []
    for path in files[:PROBES]:
        try:
            names = _names(path)
            return path, names, layout_of(str(path), names)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _notes(folder: Path, found: Found, layout: Layout) -> list[str]:
    """What a user must know of the files."""
    notes = [] if layout.note is None else [layout.note]
    left_out = found.left_out
    if left_out:
        names = ", ".join(str(path.relative_to(folder)) for path in left_out[:3])
        more = ", ..." if len(left_out) > 3 else ""
        notes.append(
            f"{len(left_out)} of {len(left_out) + len(found.files)} files and folders below "
            f"{folder} are left out (hidden, found twice, not to be read, or no .npz): "
            f"{names}{more}"
        )
    return notes


def _names(path: Path) -> list[str]:
    """The entries of a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return list(file.files)
    except READ_ERRORS as error:
        raise _damaged(path, error) from None


def _load(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """Those of the entries `names` that the file has."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file.files}
    except MemoryError as error:
        raise ValueError(f"{path} says that it holds more than fits into memory: {error}") from None
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
            # a file that is full would leave numpy's writer half closed
            whole = io.BytesIO()
            np.savez_compressed(whole, **_content(store, row, alignment))
            with replacing(path) as file:
                file.write(whole.getbuffer())
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
