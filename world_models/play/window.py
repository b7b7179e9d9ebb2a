"""A session, or stored episodes, in a window of pygame's; everything in it changes live."""

import os
import sys
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from world_models.envs.quiet import quiet_pygame
from world_models.figures.media import NIGHT
from world_models.play.drawing import Look, draw_help
from world_models.play.recording import Recording
from world_models.play.show import Show
from world_models.runs.folder import display_path

TITLE = "World Models"
NO_SCREEN = (
    "there is no screen for a window here: stage.record=<path> writes what would be seen as MP4 "
    "and GIF"
)


def require_screen() -> None:
    """Where a window cannot be shown it is a ValueError."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        raise ValueError(NO_SCREEN)


class Window:
    """Keys in, pictures out, `look.fps` times a second, until it is closed."""

    def __init__(self, show: Show, look: Look, recordings: Path) -> None:
        """Recordings are written below a folder, which is made for the first of them."""
        quiet_pygame()
        import pygame

        self.pygame: Any = pygame
        self.show, self.look, self.recordings = show, look, recordings
        self.shows_help, self.is_open = False, True
        self.held: set[str] = set()
        self.recording: Recording | None = None

    def run(self) -> None:
        """Go on until the window is closed; a screen that is not there: ValueError."""
        pygame = self.pygame
        self.show.say("F1 shows every key")
        try:
            pygame.display.init()
            picture = self._step()
            size = picture.shape[1], picture.shape[0]
            self.surface = pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise ValueError(f"{NO_SCREEN} ({error})") from None
        pygame.display.set_caption(TITLE)
        clock = pygame.time.Clock()
        try:
            while self.is_open:
                for event in pygame.event.get():
                    self.take(event)
                self._show(self._step())
                clock.tick(self.look.fps)
        finally:
            self._stop_recording()
            pygame.display.quit()

    def take(self, event: Any) -> None:
        """One event: a key goes down or up, the window is left or closed."""
        pygame = self.pygame
        if event.type == pygame.QUIT:
            self.is_open = False
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.held.clear()
        elif event.type == pygame.KEYUP:
            self.held.discard(pygame.key.name(event.key).lower())
        elif event.type == pygame.KEYDOWN:
            self._press(pygame.key.name(event.key).lower())

    def _press(self, name: str) -> None:
        self.held.add(name)
        if name == "f1":
            self.shows_help = not self.shows_help
        elif name == "f4":
            self._show_or_hide_header()
        elif name == ",":
            self._start_or_stop_recording()
        elif name == "escape":
            self.is_open = False
        else:
            self.show.press(name)

    def _step(self) -> np.ndarray:
        """One step of the session; returns its picture."""
        if not self.shows_help:
            self.show.step(frozenset(self.held))
        scene = self.show.scene(frozenset(self.held), self.look.panels)
        picture = self.look.draw(scene)
        if self.recording is not None and not self.shows_help:
            self.recording.add(picture, scene.step)
        if self.shows_help:
            picture = draw_help(picture, self.show.help(), self.look.text)
        return picture

    def _show(self, picture: np.ndarray) -> None:
        """As large as the window allows."""
        pygame = self.pygame
        shown = pygame.image.frombuffer(np.ascontiguousarray(picture), picture.shape[1::-1], "RGB")
        width, height = self.surface.get_size()
        scale = min(width / shown.get_width(), height / shown.get_height())
        size = round(shown.get_width() * scale), round(shown.get_height() * scale)
        if size != shown.get_size():
            self.surface.fill(NIGHT)
            shown = pygame.transform.smoothscale(shown, size)
        self.surface.blit(shown, ((width - size[0]) // 2, (height - size[1]) // 2))
        pygame.display.flip()

    def _show_or_hide_header(self) -> None:
        if self.recording is not None:
            self.show.say("the header stays while it is recorded: its pictures are of one size")
            return
        self.look = replace(self.look, header=not self.look.header)

    def _start_or_stop_recording(self) -> None:
        if self.recording is not None:
            self._stop_recording()
            return
        self.recording = Recording(_new_name(self.recordings), self.look.fps)
        self.show.say("recording: , stops it")

    def _stop_recording(self) -> None:
        if self.recording is None:
            return
        made, self.recording = self.recording.close(), None
        if made:
            others = "".join(f", {path.suffix}" for path in made[1:])
            self.show.say(f"recorded {display_path(made[0])}{others}")


def _new_name(folder: Path) -> Path:
    """A name by the time for the files of a recording, where none of them lies yet."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    names = (folder / (f"{stamp}-{number}" if number > 1 else stamp) for number in count(1))
    return next(name for name in names if not name.with_name(f"{name.name}.mp4").exists())
