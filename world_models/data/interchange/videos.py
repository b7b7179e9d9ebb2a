"""Folders of videos, one episode a file, each beside a CSV file of its actions."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from world_models.data.arrays import Array
from world_models.data.interchange.ordering import in_order
from world_models.data.interchange.recording import Alignment, Recording, Rows
from world_models.envs.preprocess import Preprocessing
from world_models.runs.finding import find_files

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm")
ACTION = "action"
"""Columns whose name begins so are numbers of the action, in their order."""
FLAGS = {"ended by its rules": ("done", "terminated", "terminal"), "cut off": ("truncated",)}
"""Columns that say how an episode ended, and what each says."""
REWARD = "reward"


class VideoSource:
    """The videos below a folder, in the order of their paths; or a single one."""

    has_final_frame = True

    def __init__(
        self,
        path: Path,
        alignment: Alignment | None,
        limit: int | None,
        preprocessing: Preprocessing,
    ) -> None:
        self._folder = path.parent if path.is_file() else path
        self._videos = [path] if path.is_file() else find_videos(path)
        self._limit = limit
        self._preprocessing = preprocessing
        self.alignment = alignment
        self.origin: dict[str, Any] = {}
        tables = [table_of(video) for video in self._videos]
        self.files = sorted([*self._videos, *(table for table in tables if table.is_file())])
        self.notes = _notes(tables)

    def __len__(self) -> int:
        return len(self._videos)

    def name(self, index: int) -> str:
        """The path of a video below the folder."""
        return str(self._videos[index].relative_to(self._folder))

    def read(self, index: int) -> Recording:
        """One episode, its frames as the preprocessing makes them.

        What cannot be one is a ValueError naming the file.
        """
        path = self._videos[index]
        table = _read_table(table_of(path))
        frames, size = _frames(path, self._preprocessing)
        columns = {name: values for name, values in table.items() if name in _known(table)}
        steps = _steps(path, columns, len(frames), self.alignment)
        return in_order(_rows(path, frames, steps), None, self._limit, size)


def find_videos(folder: Path) -> list[Path]:
    """The videos below a folder."""
    return [path for path in find_files(folder).files if path.suffix.lower() in SUFFIXES]


def table_of(video: Path) -> Path:
    """The file that holds a video's actions."""
    return video.with_suffix(".csv")


def _frames(path: Path, preprocessing: Preprocessing) -> tuple[Array, tuple[int, int]]:
    """All frames (T+1, size, size, C) uint8, and height and width of the video's pictures."""
    import av

    frames, size = [], (0, 0)
    try:
        with av.open(str(path)) as container:
            for picture in container.decode(video=0):
                pixels = picture.to_ndarray(format="rgb24")
                size = (pixels.shape[0], pixels.shape[1])
                frames.append(preprocessing.of_picture_size(*size).apply(pixels[None])[0])
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is damaged, or no video: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(frames) < 2:
        raise ValueError(f"{path} has {len(frames)} frames; an episode has two or more")
    return np.stack(frames), size


def _read_table(path: Path) -> dict[str, Array]:
    """Column -> numbers (rows,) of a CSV file with a header."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: it holds the actions of the video beside it")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file))
        values = np.array([list(map(float, row)) for row in rows if row], float)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is no table of numbers with a header: {error}") from None
    if values.ndim != 2 or values.shape[1] != len(header):
        raise ValueError(f"{path} has rows of another length than its header, or none")
    return {name.strip(): values[:, at] for at, name in enumerate(header)}


def _known(table: dict[str, Array]) -> list[str]:
    """The columns that are read."""
    flags = [name for names in FLAGS.values() for name in names]
    return [name for name in table if name.startswith(ACTION) or name in (REWARD, *flags)]


def _steps(
    path: Path, columns: dict[str, Array], frames: int, alignment: Alignment | None
) -> dict[str, Array]:
    """The columns with a row for each step, which is one fewer than there are frames.

    Of as many rows as frames one belongs to no step: the last where the action beside a frame was
    taken on seeing it (`pre`), the first where it led to it (`post`).
    """
    place = table_of(path)
    if not any(name.startswith(ACTION) for name in columns):
        raise ValueError(f"{place} has no column whose name begins with {ACTION}")
    rows = len(next(iter(columns.values())))
    if rows == frames - 1:
        return columns
    if rows != frames:
        raise ValueError(
            f"{place} has {rows} rows and {path.name} {frames} frames: give one row for each step, "
            f"{frames - 1}, or for each frame, {frames}"
        )
    if alignment is None:
        raise ValueError(
            f"stage.alignment is missing: {place} has a row for each frame, so give "
            "stage.alignment=pre if the action beside a frame was taken on seeing it, or "
            "stage.alignment=post if it led to it"
        )
    part = slice(0, -1) if alignment is Alignment.pre else slice(1, None)
    return {name: values[part] for name, values in columns.items()}


def _rows(path: Path, frames: Array, steps: dict[str, Array]) -> Rows:
    """The parts of an episode; without rewards they are 0, without ends it was cut off."""
    actions = [values for name, values in steps.items() if name.startswith(ACTION)]
    nothing = np.zeros(len(frames) - 1, np.float32)
    terminals, truncations = (
        next((steps[name] for name in names if name in steps), nothing) for names in FLAGS.values()
    )
    return Rows(
        place=str(path),
        observations=frames,
        actions=np.stack(actions, axis=1),
        rewards=steps.get(REWARD, nothing),
        terminals=terminals,
        truncations=truncations,
        boundary=None,
    )


def _notes(tables: list[Path]) -> list[str]:
    """What a user must know of the columns of the first table that can be read."""
    for path in tables:
        try:
            table = _read_table(path)
        except ValueError:
            # named with all other bad ones
            continue
        known = _known(table)
        left_out = [name for name in table if name not in known]
        notes = [f"columns of no use are left out: {', '.join(left_out)}"] if left_out else []
        if REWARD not in known:
            notes.append(
                f"{path.name} has no column {REWARD}: every reward is stored as 0, so train M with "
                "stage.include_reward=false"
            )
        return notes
    return []
