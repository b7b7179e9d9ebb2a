"""What a window, a page or a recording can show: a session that is played, or stored episodes."""

from typing import Protocol

from world_models.envs.keys import NOBODY, Held, Key
from world_models.play.commands import COMMANDS, help_of, obey
from world_models.play.reel import MOVEMENTS, Reel
from world_models.play.scene import Scene
from world_models.play.session import Session
from world_models.play.showing import scene_of


class Show(Protocol):
    """Keys go in, scenes come out."""

    @property
    def session(self) -> Session | None:
        """What can be turned while it goes on; None of stored episodes."""

    def step(self, held: Held = NOBODY) -> None:
        """A tick of the clock, with the keys that are held."""

    def press(self, name: str) -> None:
        """A key went down."""

    def say(self, notice: str) -> None:
        """Show a sentence for a while."""

    def scene(self, held: Held = NOBODY, panels: bool = True) -> Scene:
        """What is seen now."""

    def help(self) -> list[Key]:
        """Every key of what is shown, and what it does."""

    def settle(self) -> None:
        """Nobody is there to be asked: what was asked is answered with yes."""


class Playing:
    """A session: its commands by their keys."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.commands = {command.key.name: command for command in COMMANDS}

    def step(self, held: Held = NOBODY) -> None:
        """See `Show`."""
        self.session.step(held)

    def press(self, name: str) -> None:
        """See `Show`."""
        if self.session.asks and name in ("y", "n"):
            self.session.answer(name == "y")
        elif name in self.commands:
            obey(self.session, self.commands[name].do)

    def say(self, notice: str) -> None:
        """See `Show`."""
        self.session.say(notice)

    def scene(self, held: Held = NOBODY, panels: bool = True) -> Scene:
        """See `Show`."""
        return scene_of(self.session, held, panels)

    def help(self) -> list[Key]:
        """See `Show`."""
        return help_of(self.session)

    def settle(self) -> None:
        """See `Show`."""
        if self.session.asks:
            self.session.answer(True)


class Browsing:
    """Stored episodes: their movements by their keys."""

    session = None

    def __init__(self, reel: Reel) -> None:
        self.reel = reel
        self.movements = {movement.key.name: movement for movement in MOVEMENTS}

    def step(self, held: Held = NOBODY) -> None:
        """See `Show`."""
        self.reel.step(held)

    def press(self, name: str) -> None:
        """See `Show`."""
        if name in self.movements:
            self.reel.say("")
            self.movements[name].do(self.reel)

    def say(self, notice: str) -> None:
        """See `Show`."""
        self.reel.say(notice)

    def scene(self, held: Held = NOBODY, panels: bool = True) -> Scene:
        """See `Show`."""
        return self.reel.scene(held, panels)

    def help(self) -> list[Key]:
        """See `Show`."""
        return [movement.key for movement in MOVEMENTS]

    def settle(self) -> None:
        """See `Show`."""
