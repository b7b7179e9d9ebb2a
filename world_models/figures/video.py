"""A video that grows frame by frame, and what can be a frame."""

from types import TracebackType
from typing import Any, Self

import numpy as np

VIDEO_QUALITY = "28"  # x264's quality: larger is smaller


class VideoFile:
    """An MP4 that browsers play (H.264, yuv420p); it is whole once the block ends.

    Frames are uint8 (H, W, C) of one size, C 1 or 3; an odd side is made even by repeating the last
    row or column. No frame at all, or one of another type or size, is a ValueError.
    """

    def __init__(self, target: str, fps: int, name: str) -> None:
        """`target` is the path that is written, and `name` the one that errors name."""
        self.target, self.fps, self.name = target, fps, name
        self.frames = 0
        self._stream: Any = None

    def __enter__(self) -> Self:
        import av  # heavy, and only who writes videos needs it

        options = {"movflags": "+faststart"}
        self._container = av.open(self.target, "w", format="mp4", options=options)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._container.close()

    def add(self, picture: np.ndarray) -> None:
        """The next frame."""
        import av

        require_pictures("a video frame", picture, 3)
        picture = evened(picture)
        if self._stream is None:
            self._begin(*picture.shape)
        if picture.shape != self._shape:
            raise ValueError(
                f"{self.name}: frame {self.frames} is {picture.shape} and the first one "
                f"{self._shape}"
            )
        self.frames += 1
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def _begin(self, height: int, width: int, channels: int) -> None:
        self._shape = (height, width, channels)
        options = {"crf": VIDEO_QUALITY, "preset": "veryfast"}
        self._stream = self._container.add_stream("libx264", rate=self.fps, options=options)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"

    def _finish(self) -> None:
        if self._stream is None:
            raise ValueError(f"{self.name}: a video needs at least one frame")
        self._container.mux(self._stream.encode())


def evened(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) with even sides."""
    rows, columns = picture.shape[0] % 2, picture.shape[1] % 2
    return np.ascontiguousarray(
        np.pad(rgb(picture), ((0, rows), (0, columns), (0, 0)), mode="edge")
    )


def rgb(picture: np.ndarray) -> np.ndarray:
    """(..., 1) repeated as (..., 3); three channels stay."""
    return np.broadcast_to(picture, (*picture.shape[:-1], 3)) if picture.shape[-1] == 1 else picture


def require_pictures(name: str, array: np.ndarray, ndim: int) -> None:
    """Anything but uint8 pictures of 1 or 3 channels is a ValueError."""
    axes = "(N, H, W, C)" if ndim == 4 else "(H, W, C)"
    if (
        array.dtype != np.uint8
        or array.ndim != ndim
        or array.shape[-1] not in (1, 3)
        or 0 in array.shape
    ):
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}; it must be uint8 {axes} with C 1 or 3"
        )
