"""Pictures and videos: labelled grids, panels side by side, PNG and MP4 files."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from world_models.figures.video import VideoFile, require_pictures, rgb
from world_models.runs.files import replacing
from world_models.runs.progress import tracked

Colour = tuple[int, int, int]

PAPER, PAPER_INK = (252, 252, 251), (72, 78, 87)
NIGHT, NIGHT_INK = (20, 23, 28), (196, 202, 211)
TILE_GAP = 4  # pixels between tiles
GRID_MARGIN = 12  # pixels around a grid, and between panels
ROW_FONT, PANEL_FONT = 18, 20  # pixels
LABEL_STRIP = 38  # pixels above a panel
SMALL_TILE, SMALL_PANEL = 64, 128  # up to this size pixels stay visible as squares


def save_png(path: Path, image: np.ndarray) -> None:
    """Write `image`, uint8 (H, W, C) with C 1 or 3, as a PNG in one step; its folder is made."""
    require_pictures("image", image, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, format="PNG")


def labelled_rows(rows: dict[str, np.ndarray], columns: Sequence[str] = ()) -> np.ndarray:
    """A grid with one labelled row of tiles per entry, uint8 (H', W', 3).

    Where `columns` are given, one of these heads stands above each column of tiles.

    Values are uint8 (N, H, W, C) with C 1 or 3 and equal N, H, W. Tiles of at most 64 pixels are
    drawn at twice their size. Other arrays, unequal sizes, no rows at all and another number of
    heads than N are a ValueError.
    """
    _require_rows(rows, columns)
    count, height, width = next(iter(rows.values())).shape[:3]
    scale = 2 if max(height, width) <= SMALL_TILE else 1
    height, width = height * scale, width * scale
    left = GRID_MARGIN + _text_width(rows, ROW_FONT) + GRID_MARGIN
    head = GRID_MARGIN + (ROW_FONT + GRID_MARGIN if columns else 0)
    size = (
        head + len(rows) * (height + TILE_GAP) - TILE_GAP + GRID_MARGIN,
        left + count * (width + TILE_GAP) - TILE_GAP + GRID_MARGIN,
        3,
    )
    canvas = np.full(size, PAPER, np.uint8)
    tops = [head + index * (height + TILE_GAP) for index in range(len(rows))]
    starts = [left + index * (width + TILE_GAP) for index in range(count)]
    for top, tiles in zip(tops, rows.values(), strict=True):
        for start, tile in zip(starts, tiles, strict=True):
            enlarged = tile.repeat(scale, 0).repeat(scale, 1)
            canvas[top : top + height, start : start + width] = enlarged
    middles = [(start + width / 2, head / 2) for start in starts[: len(columns)]]
    canvas = _write(canvas, columns, middles, "mm", ROW_FONT, PAPER_INK)
    places = [(left - GRID_MARGIN, top + height / 2) for top in tops]
    return _write(canvas, list(rows), places, "rm", ROW_FONT, PAPER_INK)


class Film(Iterable[np.ndarray], Sized):
    """Frames that are made one by one, each time it is gone through; how many is known."""

    def __init__(self, count: int, frames: Callable[[], Iterator[np.ndarray]]) -> None:
        self._count = count
        self._frames = frames

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._frames()


def side_by_side(panels: dict[str, np.ndarray], height: int = 320) -> Film:
    """T frames that show the panels next to each other, each under its label.

    They are uint8 (H', W', 3) with even H' and W'. Values are uint8 (T, H, W, C) with C 1 or 3 and
    equal T. Every panel is scaled to `height` pixels, small ones without smoothing. Frames are made
    one by one, so a long video needs little memory. Other arrays, unequal T and no panels at all
    are a ValueError.
    """
    _require_panels(panels)
    widths = [max(1, round(panel.shape[2] * height / panel.shape[1])) for panel in panels.values()]
    slots = [
        max(width, _text_width([name], PANEL_FONT))
        for name, width in zip(panels, widths, strict=True)
    ]
    lefts = [GRID_MARGIN + sum(slots[:index]) + index * GRID_MARGIN for index in range(len(slots))]
    total = _even(LABEL_STRIP + height + GRID_MARGIN), _even(lefts[-1] + slots[-1] + GRID_MARGIN)
    canvas = np.full((*total, 3), NIGHT, np.uint8)
    labels = [(left, LABEL_STRIP / 2) for left in lefts]
    canvas = _write(canvas, list(panels), labels, "lm", PANEL_FONT, NIGHT_INK)

    def frames() -> Iterator[np.ndarray]:
        for pictures in zip(*panels.values(), strict=True):
            yield _filled(canvas, pictures, lefts, widths, height)

    return Film(len(next(iter(panels.values()))), frames)


def save_video(path: Path, frames: Iterable[np.ndarray], fps: int = 30) -> None:
    """Write frames, uint8 (H, W, 3) of one size, as an MP4 that browsers play (H.264, yuv420p).

    Its folder is made. An odd side is made even by repeating the last row or column. No frames at
    all, or frames of another type or size, are a ValueError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file, VideoFile(file.name, fps, path.name) as video:
        for picture in _counted(path, frames):
            video.add(picture)


def save_gif(path: Path, frames: Iterable[np.ndarray], fps: int = 30) -> None:
    """Write frames, uint8 (H, W, 3) of one size, as an endless GIF; none are a ValueError."""
    pictures = [Image.fromarray(picture) for picture in _counted(path, frames)]
    if not pictures:
        raise ValueError(f"{path.name}: a GIF needs at least one frame")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        pictures[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / fps),
            loop=0,
        )


def _counted(path: Path, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, in a progress bar; how many there are is known of all but generators."""
    total = len(frames) if isinstance(frames, Sized) else None
    return tracked(f"write {path.name}", frames, total, "frames")


def _filled(
    canvas: np.ndarray,
    pictures: Iterable[np.ndarray],
    lefts: list[int],
    widths: list[int],
    height: int,
) -> np.ndarray:
    frame = canvas.copy()
    for picture, left, width in zip(pictures, lefts, widths, strict=True):
        frame[LABEL_STRIP : LABEL_STRIP + height, left : left + width] = _scaled(
            picture, width, height
        )
    return frame


def _even(size: int) -> int:
    return size + size % 2


def _scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[0] <= SMALL_PANEL:
        how = cv2.INTER_NEAREST
    else:
        how = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_LINEAR
    return cv2.resize(rgb(picture), (width, height), interpolation=how)


def _write(
    canvas: np.ndarray,
    labels: Sequence[str],
    places: Sequence[tuple[float, float]],
    anchor: str,
    size: int,
    ink: Colour,
) -> np.ndarray:
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for label, place in zip(labels, places, strict=True):
        draw.text(place, label, fill=ink, font=ImageFont.load_default(size), anchor=anchor)
    return np.array(picture)


def _text_width(labels: Iterable[str], size: int) -> int:
    font = ImageFont.load_default(size)
    return max(int(np.ceil(font.getlength(label))) for label in labels)


def _require_rows(rows: dict[str, np.ndarray], columns: Sequence[str]) -> None:
    if not rows:
        raise ValueError("a labelled picture needs at least one row")
    for label, tiles in rows.items():
        require_pictures(f"row {label!r}", tiles, 4)
    if len({tiles.shape[:3] for tiles in rows.values()}) > 1:
        raise ValueError(
            "rows differ in number or size of tiles: "
            f"{ {label: tiles.shape for label, tiles in rows.items()} }"
        )
    if columns and len(columns) != len(next(iter(rows.values()))):
        raise ValueError(
            f"{len(columns)} heads were given for {len(next(iter(rows.values())))} columns of tiles"
        )


def _require_panels(panels: dict[str, np.ndarray]) -> None:
    if not panels:
        raise ValueError("a video side by side needs at least one panel")
    for label, frames in panels.items():
        require_pictures(f"panel {label!r}", frames, 4)
    if len({len(frames) for frames in panels.values()}) > 1:
        raise ValueError(
            f"panels differ in length: { {label: len(frames) for label, frames in panels.items()} }"
        )
