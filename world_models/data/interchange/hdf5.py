"""One HDF5 file in HumbleRL's layout.

Its transitions lie end to end, and a table says where each episode begins.

    states      (N, H, W, C) uint8, chunks of 128 rows, lzf
    actions     (N, A) float, or (N, 1) whole numbers
    rewards     (N,)
    episodes    (N_GAMES + 1,) the row at which each begins; the last entry: where the last one ends
    attributes  N_TRANSITIONS, N_GAMES, CHUNK_SIZE, STATE_SHAPE, ACTION_DIM

The arrays may be longer than the attributes say: HumbleRL grows them ahead of need.
docs/stages/convert.md names what we add.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from world_models.data.interchange.ordering import as_seed, in_order
from world_models.data.interchange.recording import (
    BOUNDARY_NAMES,
    Alignment,
    Recording,
    Rows,
    as_rows,
    ends_with_frame,
    origin_of,
    parse_origin,
    settle_alignment,
)
from world_models.data.interchange.writing import renaming, require_room
from world_models.data.store import EpisodeRow, EpisodeStore

REQUIRED_ARRAYS = ("states", "actions", "rewards", "episodes")
CHUNK_ROWS = 128
BYTES_PER_STEP = 1024
"""At most, of what stands beside a frame: an action, a reward, flags."""
BYTES_PER_EPISODE = 1024
"""At most, in the tables."""
UNREADABLE = (OSError, RuntimeError, MemoryError)
"""What h5py raises on a file that is damaged."""
SUMMED = {"fletcher32": True}
"""Every chunk has a checksum, which HDF5 compares when it reads."""
CHECKSUMMED = ("v110", "v110")
"""The format in which HDF5 checks headers, attributes and tables as well (HDF5 1.10 on)."""


class Hdf5Source:
    """The episodes of one file, read a slice at a time."""

    def __init__(self, path: Path, alignment: Alignment | None, limit: int | None) -> None:
        """Look at the layout; one that is not HumbleRL's is a ValueError."""
        self.files = [path]
        self.notes: list[str] = []
        self._limit = limit
        with opened(path) as file:
            require_whole(path, file)
            self._bounds = _bounds(path, file)
            self.alignment = settle_alignment(str(path), _text(file, "alignment"), alignment)
            self.origin = parse_origin(str(path), _text(file, "origin"))
            has_boundary = BOUNDARY_NAMES[self.alignment] in file
        self.has_final_frame = ends_with_frame(self.origin, self.alignment, has_boundary)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def name(self, index: int) -> str:
        """The number of an episode, in words."""
        return f"episode {index}"

    def read(self, index: int) -> Recording:
        """One episode; a damaged file is a ValueError naming it."""
        (path,) = self.files
        steps = slice(*self._bounds[index : index + 2].tolist())
        place = f"{path}, episode {index}"
        with opened(path) as file:
            rows = Rows(
                place=place,
                observations=file["states"][steps],
                actions=file["actions"][steps],
                rewards=file["rewards"][steps],
                terminals=_entry(file, "terminals", steps),
                truncations=_entry(file, "truncations", steps),
                boundary=_entry(file, BOUNDARY_NAMES[self.alignment], index),
                seed=as_seed(place, _entry(file, "seeds", index)),
                split=file["splits"].asstr()[index] if "splits" in file else None,
            )
        return in_order(rows, self.alignment, self._limit)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file for reading; whatever HDF5 cannot read is a ValueError."""
    h5py = importlib.import_module("h5py")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except UNREADABLE as error:
        raise ValueError(f"{path} is truncated or no HDF5 file: {error}") from None
    except (TypeError, LookupError) as error:
        raise ValueError(f"{path} has an entry that is laid out in another way: {error}") from None


def require_whole(path: Path, file: Any) -> None:
    """An HDF5 file may lead to others, and show what lies there as its own: a ValueError."""
    h5py: Any = importlib.import_module("h5py")

    def foreign_link(name: str, link: Any) -> str | None:
        return name if isinstance(link, h5py.ExternalLink) else None

    def foreign_array(name: str, entry: Any) -> str | None:
        lies_elsewhere = isinstance(entry, h5py.Dataset) and (entry.external or entry.is_virtual)
        return name if lies_elsewhere else None

    found = file.visititems_links(foreign_link) or file.visititems(foreign_array)
    if found:
        raise ValueError(f"{path}: its entry {found!r} leads to another file: copy it in")


def _bounds(path: Path, file: Any) -> np.ndarray:
    """Where episodes begin, and where the last one ends: (episodes + 1,) int64."""
    missing = [name for name in REQUIRED_ARRAYS if not getattr(file.get(name), "shape", ())]
    if missing:
        raise ValueError(
            f"{path} has no array {' and no '.join(map(repr, missing))}: "
            f"its entries are {', '.join(file) or 'none'}, "
            f"and HumbleRL's layout has {', '.join(REQUIRED_ARRAYS)}"
        )
    table = np.asarray(file["episodes"])
    if "N_GAMES" in file.attrs:
        games = np.asarray(file.attrs["N_GAMES"])
        if games.size != 1 or games.dtype.kind not in "iu":
            raise ValueError(f"{path}: its attribute N_GAMES is {games}, and must be one integer")
        table = table[: int(games.item()) + 1]
    rows = min(len(file[name]) for name in ("states", "actions", "rewards"))
    if table.ndim != 1 or not np.issubdtype(table.dtype, np.integer) or len(table) < 2:
        raise ValueError(
            f"{path}: its table 'episodes' is {table.dtype} {table.shape}, and names no episode"
        )
    if table[0] < 0 or (np.diff(table.astype(np.int64)) <= 0).any() or table[-1] > rows:
        raise ValueError(
            f"{path}: its table 'episodes' does not rise row by row within its {rows} transitions: "
            f"it begins {table[:4]}"
        )
    return table.astype(np.int64)


def _text(file: Any, name: str) -> str | None:
    if name not in file.attrs:
        return None
    text = file.attrs[name]
    return text.decode() if isinstance(text, bytes) else str(text)


def _entry(file: Any, name: str, place: slice | int) -> np.ndarray | None:
    return np.asarray(file[name][place]) if name in file else None


def export(store: EpisodeStore, path: Path, alignment: Alignment) -> Iterator[EpisodeRow]:
    """Write the whole store into one file; yields each episode written.

    The file takes its name when it is complete.
    """
    if path.is_file():
        yield from store.rows
        return
    h5py = importlib.import_module("h5py")
    with renaming(path) as temporary:
        require_room(temporary, len(store.rows) * BYTES_PER_EPISODE)
        with h5py.File(temporary, "w", libver=CHECKSUMMED) as file:
            _lay_out(file, store, alignment)
            start = 0
            for row in store.rows:
                require_room(temporary, _most_bytes(store, row))
                rows = as_rows(store, row, alignment)
                _write(file, row.index, start, rows, BOUNDARY_NAMES[alignment])
                start += row.length
                yield row
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())


def _most_bytes(store: EpisodeStore, row: EpisodeRow) -> int:
    """What one episode adds at most: its frames, not compressed, in whole chunks."""
    frame = store.episode(row).frames[0].nbytes
    return (row.length + 2 * CHUNK_ROWS) * (frame + BYTES_PER_STEP)


def _lay_out(file: Any, store: EpisodeStore, alignment: Alignment) -> None:
    """Empty arrays of the final size, the tables of episodes, and the attributes."""
    lengths = [row.length for row in store.rows]
    steps = sum(lengths)
    shard = store.arrays(0)
    frame = shard.frames.shape[1:]
    action = shard.actions.shape[1:] or (1,)
    file.create_dataset(
        "states",
        (steps, *frame),
        "u1",
        maxshape=(None, *frame),
        chunks=(CHUNK_ROWS, *frame),
        compression="lzf",
        **SUMMED,
    )
    grows = {"maxshape": (None,), **SUMMED}
    kind = shard.actions.dtype
    file.create_dataset("actions", (steps, *action), kind, maxshape=(None, *action), **SUMMED)
    file.create_dataset("rewards", (steps,), np.float32, **grows)
    file.create_dataset("episodes", data=np.cumsum([0, *lengths]), **grows)
    for name in ("terminals", "truncations"):
        file.create_dataset(name, (steps,), np.uint8, **SUMMED)
    file.create_dataset(
        BOUNDARY_NAMES[alignment],
        (len(lengths), *frame),
        "u1",
        chunks=(1, *frame),
        compression="lzf",
        **SUMMED,
    )
    file.create_dataset("seeds", data=[row.seed for row in store.rows], **SUMMED)
    # of one length: texts of any length lie where no checksum covers them
    file.create_dataset(
        "splits", data=np.array([row.split for row in store.rows], np.bytes_), **SUMMED
    )
    file.attrs["N_TRANSITIONS"] = steps
    file.attrs["N_GAMES"] = len(lengths)
    file.attrs["CHUNK_SIZE"] = CHUNK_ROWS
    file.attrs["STATE_SHAPE"] = frame
    file.attrs["ACTION_DIM"] = action[0]
    file.attrs["alignment"] = np.bytes_(alignment.value)
    file.attrs["origin"] = np.bytes_(origin_of(store).encode())


def _write(file: Any, index: int, start: int, rows: Rows, boundary: str) -> None:
    """One episode, its first transition in row `start`, and its entry of the array `boundary`."""
    steps = slice(start, start + len(rows.rewards))
    file["states"][steps] = rows.observations
    file["actions"][steps] = rows.actions.reshape(len(rows.actions), -1)
    for name in ("rewards", "terminals", "truncations"):
        file[name][steps] = getattr(rows, name)
    file[boundary][index] = rows.boundary
