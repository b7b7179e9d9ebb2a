"""Recordings that a person starts and stops while a show goes on."""

from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np

from world_models.play.recording import Recording
from world_models.play.scene import Done
from world_models.runs.folder import display_path

RECORD = ","
"""The key that starts and stops."""


class Recorder:
    """At most one recording at a time, each in files named by the time."""

    def __init__(self, folder: Path, fps: int) -> None:
        """`folder` is made for the first of them."""
        self.folder, self.fps = folder, fps
        self._open: Recording | None = None

    @property
    def is_on(self) -> bool:
        """Whether a recording is under way."""
        return self._open is not None

    def turn(self) -> str:
        """Start a recording, or finish the one that is under way; returns what is to be said."""
        if self._open is not None:
            return self.finish()
        self._open = Recording(_new_name(self.folder), self.fps)
        return "recording: , stops it"

    def add(self, picture: np.ndarray, step: Done | None) -> None:
        """The next picture, where one is under way; see `Recording`."""
        if self._open is not None:
            self._open.add(picture, step)

    def finish(self) -> str:
        """Write what is under way; returns what is to be said, empty where nothing was."""
        if self._open is None:
            return ""
        made, self._open = self._open.close(), None
        others = "".join(f", {path.suffix}" for path in made[1:])
        return f"recorded {display_path(made[0])}{others}" if made else ""


def _new_name(folder: Path) -> Path:
    """A name by the time for the files of a recording, where none of them lies yet."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    names = (folder / (f"{stamp}-{number}" if number > 1 else stamp) for number in count(1))
    return next(name for name in names if not name.with_name(f"{name.name}.mp4").exists())
