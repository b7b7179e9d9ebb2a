"""A session, or stored episodes, in a window of pygame's; everything in it changes live."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from world_models.envs.keys import Key
from world_models.envs.quiet import has_screen, quiet_pygame
from world_models.figures.media import NIGHT
from world_models.play.drawing import Look, draw_help
from world_models.play.recorder import RECORD, Recorder
from world_models.play.show import Show
from world_models.runs.signals import arrived

log = logging.getLogger(__name__)

TITLE = "World Models"
NO_SCREEN = (
    "there is no screen for a window here: stage.ui=web shows it on a page, stage.record=<path> "
    "writes it as MP4 and GIF"
)
OWN_KEYS = (
    Key("f1", "this help"),
    Key("f4", "header"),
    Key(RECORD, "start and stop recording: MP4 and npz"),
    Key("escape", "end"),
)
"""Keys of a window beside those of what it shows."""


def require_screen() -> None:
    """Where a window cannot be shown it is a ValueError."""
    if not has_screen():
        raise ValueError(NO_SCREEN)


class Window:
    """Keys in, pictures out, `look.fps` times a second, until it is closed."""

    def __init__(self, show: Show, look: Look, recordings: Path) -> None:
        """Recordings are written below a folder, which is made for the first of them."""
        quiet_pygame()
        import pygame

        self.pygame: Any = pygame
        self.show, self.look = show, look
        self.shows_help, self.is_open = False, True
        self.held: set[str] = set()
        self.recorder = Recorder(recordings, look.fps)

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
        try:
            self._go_on()
        except KeyboardInterrupt:
            # else it would break off what is still to be written
            arrived()
            raise
        finally:
            if said := self.recorder.finish():
                log.info("%s", said)
            pygame.display.quit()

    def _go_on(self) -> None:
        clock = self.pygame.time.Clock()
        while self.is_open:
            for event in self.pygame.event.get():
                self.take(event)
            self._show(self._step())
            clock.tick(self.look.fps)

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
        elif name == RECORD:
            self.show.say(self.recorder.turn())
        elif name == "escape":
            self.is_open = False
        else:
            self.show.press(name)

    def _step(self) -> np.ndarray:
        """One step of the session, which help holds up; returns the picture after it."""
        held = frozenset(self.held)
        if not self.shows_help:
            self.show.step(held)
        scene = self.show.scene(held, self.look.panels)
        picture = self.look.draw(scene)
        if self.shows_help:
            return draw_help(picture, [*self.show.help(), *OWN_KEYS], self.look.text)
        self.recorder.add(picture, scene.step)
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
        if self.recorder.is_on:
            self.show.say("the header stays while it is recorded: its pictures are of one size")
            return
        self.look = replace(self.look, header=not self.look.header)
