"""The one function between an environment's picture and a frame: crop, resize, grayscale."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np

MIN_FRAME_SIZE = 16

# a frame is too small to share out, and processes do the spreading
cv2.setNumThreads(1)


@dataclass
class Crop:
    """Pixels cut from each side of the raw picture."""

    top: int = 0  # pixels cut off there
    bottom: int = 0  # pixels cut off there
    left: int = 0  # pixels cut off there
    right: int = 0  # pixels cut off there


@dataclass(frozen=True)
class Preprocessing:
    """Crop, area resize to a square, grayscale (ITU-R 601), in this order."""

    # pixels off the top, bottom, left, right
    crop: tuple[int, int, int, int]
    # side of the frame
    size: int
    grayscale: bool

    def __post_init__(self) -> None:
        if self.size < MIN_FRAME_SIZE:
            raise ValueError(f"env.size={self.size} is too small: use at least {MIN_FRAME_SIZE}")
        if min(self.crop) < 0:
            raise ValueError(
                f"env.crop={list(self.crop)} is negative: "
                "give the pixels cut from each side, 0 or more"
            )

    @property
    def channels(self) -> int:
        """1 for grayscale, else 3."""
        return 1 if self.grayscale else 3

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "crop": list(self.crop)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """The inverse of `to_dict`."""
        return cls(**{**values, "crop": tuple(values["crop"])})

    def check(self, height: int, width: int) -> None:
        """ValueError if the crop leaves nothing of a `height` x `width` picture."""
        top, bottom, left, right = self.crop
        if top + bottom >= height or left + right >= width:
            raise ValueError(
                f"env.crop={list(self.crop)} leaves nothing of a picture of {height}x{width}: "
                "cut less"
            )

    def of_picture_size(self, height: int, width: int) -> "Preprocessing":
        """What makes frames of pictures of this size that somebody recorded.

        Those of a frame's size were cropped by whoever recorded them, and keep their content.
        ValueError as in `check`.
        """
        if (height, width) == (self.size, self.size):
            return replace(self, crop=(0, 0, 0, 0))
        self.check(height, width)
        return self

    def apply(self, pictures: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Frames of pictures, a new array uint8 (B, size, size, channels).

        `pictures` is uint8 (B, H, W, 3), or B arrays (H, W, 3).
        """
        frames = np.empty((len(pictures), self.size, self.size, self.channels), np.uint8)
        for frame, picture in zip(frames, pictures, strict=True):
            frame[:] = self._one(picture)
        return frames

    __call__ = apply

    def _one(self, picture: np.ndarray) -> np.ndarray:
        """The frame of a picture, uint8 (H, W, 3)."""
        height, width, channels = picture.shape
        assert (picture.dtype, channels) == (np.uint8, 3), (picture.dtype, picture.shape)
        if any(self.crop):
            self.check(height, width)
            top, bottom, left, right = self.crop
            picture = picture[top : height - bottom, left : width - right]
        if picture.shape[:2] != (self.size, self.size):
            side = (self.size, self.size)
            picture = cv2.resize(picture, side, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] if self.grayscale else picture
