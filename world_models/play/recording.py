"""What was played as files: an MP4 and a GIF of the panels, and what happened as arrays."""

import contextlib
from pathlib import Path

import cv2
import numpy as np

from world_models.figures.media import save_gif
from world_models.figures.video import VideoFile
from world_models.play.scene import Done
from world_models.runs.files import replacing

MOST_IN_A_GIF = 150
"""Pictures of a GIF: of a longer recording only every second one is shown, and so on."""
LARGEST_GIF = 480
"""Pixels across a GIF."""


class Recording:
    """Takes pictures and steps as they come; `close` writes what is not written yet.

    `path` without its suffix is the name of three files: .mp4, .gif, and .npz with frames
    (T, H, W, C), actions, rewards (NaN where none is predicted), done and dreamt of T steps.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self.path, self.fps = path.with_suffix(""), fps
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._steps: list[Done] = []
        self._small: list[np.ndarray] = []
        # how many there were, and which of them go into the GIF: every n-th
        self.pictures, self._every = 0, 1
        self._open = contextlib.ExitStack()
        mp4 = self._named(".mp4")
        file = self._open.enter_context(replacing(mp4))
        self._video = self._open.enter_context(VideoFile(file.name, fps, mp4.name))

    def add(self, picture: np.ndarray, step: Done | None) -> None:
        """The next picture, uint8 (H, W, 3), and what was done since the last."""
        self._video.add(picture)
        if self.pictures % self._every == 0:
            self._small.append(_shrunk(picture))
        self.pictures += 1
        if len(self._small) > MOST_IN_A_GIF:
            self._small, self._every = self._small[::2], 2 * self._every
        if step is not None:
            self._steps.append(step)

    def close(self) -> list[Path]:
        """Finish the files; returns their paths. Where nothing was recorded there are none."""
        if not self.pictures:
            self.drop()
            return []
        self._open.close()
        save_gif(self._named(".gif"), self._small, fps=max(1, self.fps // self._every))
        made = [self._named(".mp4"), self._named(".gif")]
        return [*made, self._save_steps()] if self._steps else made

    def drop(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(_Dropped):
            self._open.__exit__(_Dropped, _Dropped(), None)

    def _named(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _save_steps(self) -> Path:
        steps = [vars(step) for step in self._steps]
        columns = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
        names = {"frame": "frames", "action": "actions", "reward": "rewards"}
        path = self._named(".npz")
        with replacing(path) as file:
            np.savez_compressed(file, **{names.get(key, key): of for key, of in columns.items()})
        return path


class _Dropped(Exception):
    """Ends the writing of a video that is not wanted."""


def _shrunk(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, LARGEST_GIF / width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
