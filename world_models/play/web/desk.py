"""A show as pages turn it and see it: their messages go in, moments come out."""

import json
from pathlib import Path
from typing import Any

from world_models.envs.keys import Held
from world_models.play.commands import HORIZONS, obey
from world_models.play.controls import Controls
from world_models.play.drawing import Look
from world_models.play.recorder import RECORD, Recorder
from world_models.play.session import Session
from world_models.play.show import Show
from world_models.play.web.messages import Came, Hands, Hold, Left, Mail, Press, Turn
from world_models.play.web.moment import Encoder, written


class Desk:
    """All pages have their hands on one show: a key that is held on any of them is held."""

    def __init__(self, show: Show, look: Look, recordings: Path) -> None:
        """Recordings go into files below a folder, as they do from a window."""
        self.show, self.look = show, look
        self.recorder = Recorder(recordings, look.fps)
        self.encoder = Encoder()
        # page -> the keys that are held there
        self.hands: dict[int, Held] = {}
        # keys that went down since the last step
        self.tapped: set[str] = set()

    def take(self, mail: Mail) -> None:
        """What a page did or said."""
        what, session = mail.what, self.show.session
        if isinstance(what, Came):
            self.hands[mail.page] = frozenset()
        elif isinstance(what, Left):
            del self.hands[mail.page]
        elif isinstance(what, Hands):
            self._reach(mail.page, frozenset(what.held))
        elif isinstance(what, Press):
            self._press(what.name)
        elif session is not None and isinstance(what, Turn):
            changes = what.model_dump(exclude={"kind"}, exclude_none=True)
            obey(session, lambda session: session.turn(**changes))
        elif session is not None and isinstance(what, Hold):
            pins = what.pins
            obey(session, lambda session: session.hold(pins))

    def _reach(self, page: int, held: Held) -> None:
        self.tapped |= held - self.hands[page]
        self.hands[page] = held

    def _press(self, name: str) -> None:
        if name == RECORD:
            self.show.say(self.recorder.turn())
        else:
            self.show.press(name)

    @property
    def held(self) -> Held:
        """All keys that are down, or were since the last step."""
        return frozenset(self.tapped).union(*self.hands.values())

    def step(self) -> bytes:
        """A tick of the clock; returns the moment after it."""
        held = self.held
        self.show.step(held)
        self.tapped.clear()
        scene = self.show.scene(held, self.look.panels)
        if self.recorder.is_on:
            self.recorder.add(self.look.draw(scene), scene.step)
        return self.encoder.encode(scene, self._beside())

    def _beside(self) -> dict[str, Any]:
        """What is chosen, and z, beside the scene."""
        told: dict[str, Any] = {"recording": self.recorder.is_on}
        session = self.show.session
        if session is not None:
            latent = session.latent
            told["controls"] = plain(session.controls)
            told["pins"] = list(session.pins)
            told["latent"] = [] if latent is None else [written(x) for x in latent[0].tolist()]
        return told

    def offer(self, name: str) -> str:
        """What there is to press and to turn, in JSON; `name` is that of what is played."""
        keys = [pressed.key for pressed in self.show.scene().keys]
        told: dict[str, Any] = {
            "name": name,
            "keys": [vars(key) for key in keys],
            "commands": [vars(key) for key in self.show.help() if key not in keys],
            "choices": None,
        }
        if self.show.session is not None:
            told["choices"] = choices_of(self.show.session)
        return json.dumps(told)


def choices_of(session: Session) -> dict[str, Any]:
    """Everything that can be turned in a session."""
    cast = session.cast
    return {
        "drivers": [driver.value for driver in cast.drivers],
        "places": [[place.value, cast.name(place)] for place in cast.places],
        "dials": [vars(dial) for dial in cast.dials],
        "horizons": list(HORIZONS) if len(cast.places) > 1 else [],
    }


def plain(controls: Controls) -> dict[str, Any]:
    """What is chosen, as JSON has it."""
    names = {"driver": controls.driver.value, "place": controls.place.value}
    return {**vars(controls), **names}
