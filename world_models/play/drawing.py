"""A scene as one picture: every label is inside, and grows with the picture."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from world_models.envs.keys import Key
from world_models.figures.media import NIGHT, NIGHT_INK, Colour
from world_models.play.scene import Curve, Panel, Pressed, Scene

LIT, LIT_INK = (255, 176, 59), (20, 23, 28)
BAND = (38, 43, 51)
FAINT = (110, 118, 130)
CURVE_INKS = ((90, 200, 250), (255, 176, 59))
SMALL = 128
"""Up to this size pixels stay visible as squares."""
WIDTHS = {"action": 2.4, "world": 1.4, "temperature": 1.2, "age": 1.2}
"""Columns of the header that need more room than one."""


@dataclass(frozen=True)
class Look:
    """What is drawn of scenes, and how large; all scenes of a session give pictures of one size."""

    # steps in a second
    fps: int = 30
    # pixels of the large panel
    height: int = 384
    # whether what V and M make of a frame stands beside it
    panels: bool = True
    header: bool = True

    @property
    def text(self) -> int:
        """Pixels of a letter."""
        return max(12, self.height // 24)

    @property
    def line(self) -> int:
        """Pixels of a line."""
        return self.text * 3 // 2

    def draw(self, scene: Scene) -> np.ndarray:
        """The scene, uint8 (H, W, 3) with even sides.

        The large panel lies in a field half as wide again as high, the others beside it, the curves
        where a field is left, above them the header, below them the keys and a sentence.
        """
        height, line = self.height, self.line
        top, wide = (2 * line if self.header else 0), height * 3 // 2
        width = wide + (2 * (height // 2) if self.panels else 0)
        canvas = _night(top + height + 2 * line, width).copy()
        if self.header:
            _put_header(canvas[:top], scene.header, self.text)
        middle = canvas[top : top + height]
        _put_panel(middle[:, :wide], scene.panels[0], self.text)
        if self.panels:
            self._put_others(middle[:, wide:], scene)
        _put_keys(canvas[top + height : top + height + line], scene.keys, self.text)
        _put(canvas[-line:], scene.notice, 4, self.text, LIT)
        return canvas[: len(canvas) // 2 * 2, : width // 2 * 2]

    def _put_others(self, area: np.ndarray, scene: Scene) -> None:
        """Panels and curves in four fields."""
        fields, others = _fields(area, self.height // 2), scene.panels[1:]
        for panel, field in zip(others, fields, strict=False):
            _put_panel(field, panel, self.text)
        if scene.curves and len(others) < len(fields):
            _put_curves(fields[-1], scene.curves, self.text)


def draw_help(picture: np.ndarray, keys: list[Key], text: int) -> np.ndarray:
    """The picture darkened, uint8 (H, W, 3), with keys and what they do over it, in two columns."""
    shown, line = picture // 4, text * 3 // 2
    rows = max(1, len(shown) // line - 1)
    for number, key in enumerate(keys):
        column, row = divmod(number, rows)
        left = text + column * shown.shape[1] // 2
        strip = shown[row * line + line // 2 :][:line]
        _put(strip, key.name, left, text, LIT)
        _put(strip, key.says, left + 6 * text, text, NIGHT_INK)
    return shown


def _fields(area: np.ndarray, side: int) -> list[np.ndarray]:
    """Four fields of an area (2 side, 2 side, 3), row by row."""
    starts = [(row, column) for row in (0, side) for column in (0, side)]
    return [area[row : row + side, column : column + side] for row, column in starts]


def _put_panel(field: np.ndarray, panel: Panel, text: int) -> None:
    """A picture as large as the field (H, W, 3) allows, its label over its upper edge."""
    if panel.picture is not None:
        height, width = field.shape[:2]
        scale = min(height / panel.picture.shape[0], width / panel.picture.shape[1])
        size = [max(1, round(side * scale)) for side in panel.picture.shape[:2]]
        shown = _scaled(panel.picture, size[1], size[0])
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        field[top : top + size[0], left : left + size[1]] = shown
    strip = field[: text + text // 2]
    strip[:] = strip // 3
    _put(strip, panel.label, 4, text, NIGHT_INK)


def _scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if max(picture.shape[:2]) <= SMALL:
        how = cv2.INTER_NEAREST
    else:
        # averaging over areas costs more, and shows where much is left out
        how = cv2.INTER_AREA if picture.shape[0] > 2 * height else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=how)


def _put_header(area: np.ndarray, header: dict[str, str], text: int) -> None:
    """Names above their values, each in a column of its own."""
    area[:] = BAND
    upper, lower = area[: len(area) // 2], area[len(area) // 2 :]
    widths = [WIDTHS.get(name, 1) for name in header]
    edges = np.cumsum([0, *widths]) / sum(widths) * (area.shape[1] - 8) + 8
    for (name, value), left in zip(header.items(), edges.astype(int).tolist(), strict=False):
        _put(upper, name, left, text, FAINT)
        _put(lower, value, left, text, NIGHT_INK)


def _put_keys(area: np.ndarray, keys: tuple[Pressed, ...], text: int) -> None:
    """Every key as a small field, those that are held lit."""
    left = 4
    for pressed in keys:
        name = pressed.key.name
        width = max(len(area), _tile(name, text).shape[1] + text)
        field = area[2:-2, left : left + width]
        field[:] = LIT if pressed.is_held else BAND
        _put(field, name, text // 2, text, LIT_INK if pressed.is_held else NIGHT_INK)
        left += width + 4


def _put_curves(field: np.ndarray, curves: tuple[Curve, ...], text: int) -> None:
    """Lines over the steps of a dream, one above the other, each with its newest number."""
    rows = len(field) // len(curves)
    for number, curve in enumerate(curves):
        part, ink = field[number * rows : (number + 1) * rows], CURVE_INKS[number]
        _put(part[: text + text // 2], f"{curve.label}: {curve.values[-1]:.1f}", 4, text, ink)
        below = part[text + text // 2 : -2]
        most = max(*curve.values, 1e-9)
        across = np.linspace(2, below.shape[1] - 3, len(curve.values))
        up = (len(below) - 2) * (1 - np.array(curve.values) / most)
        line = np.stack([across, up], axis=1).round().astype(np.int32)
        drawn = np.ascontiguousarray(below)
        cv2.polylines(drawn, [line[:, None]], False, ink, 1, cv2.LINE_AA)
        below[:] = drawn


def _put(area: np.ndarray, words: str, left: int, size: int, ink: Colour) -> None:
    """Words in the middle of a strip (H, W, 3), from `left` on, cut off at its end."""
    if not words or left >= area.shape[1]:
        return
    rest, inked = _inked(words, size, ink)
    top = max(0, (len(area) - len(inked)) // 2)
    place = area[top : top + len(inked), left : left + inked.shape[1]]
    part = slice(place.shape[0]), slice(place.shape[1])
    place[:] = place * rest[part] + inked[part]


@lru_cache(maxsize=4)
def _night(height: int, width: int) -> np.ndarray:
    """An empty canvas; to copy one costs a tenth of filling it."""
    return np.full((height, width, 3), NIGHT, np.uint8)


@lru_cache(maxsize=512)
def _inked(words: str, size: int, ink: Colour) -> tuple[np.ndarray, np.ndarray]:
    """What words leave of what is below them (H, W, 1), and add to it (H, W, 3), float32."""
    shade = _tile(words, size)[..., None]
    return 1 - shade, np.array(ink, np.float32) * shade


@lru_cache(maxsize=512)
def _tile(words: str, size: int) -> np.ndarray:
    """Words as shades, float32 (H, W) in [0, 1]."""
    font = _font(size)
    left, _, right, _ = font.getbbox(words)
    tile = Image.new("L", (max(1, int(right - left) + 2), int(size * 1.25)))
    ImageDraw.Draw(tile).text((1 - left, size * 0.95), words, fill=255, font=font, anchor="ls")
    return np.asarray(tile, np.float32) / 255


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), font
    return font
