"""What can be asked of a session by a key or a button: one table, from which help is written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from world_models.envs.keys import Key
from world_models.play.imagined import DIALS, Dial
from world_models.play.session import Session

HORIZONS = (10, 20, 50, 100, 200, 500, 1000)
"""Steps after which a dream ends, as keys choose them."""

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Command:
    """A key, and what it asks of a session; a ValueError says in a sentence what cannot be."""

    key: Key
    do: Callable[[Session], None]


def obey(session: Session, do: Callable[[Session], None]) -> None:
    """Do what is asked; what cannot be is said in the session."""
    try:
        do(session)
    except ValueError as error:
        session.say(str(error))


def following(there: list[Choice], now: Choice) -> Choice:
    """The next of a few choices, the first after the last."""
    return there[(there.index(now) + 1) % len(there)]


def _next_driver(session: Session) -> None:
    session.turn(driver=following(session.cast.drivers, session.controls.driver))


def _next_place(session: Session) -> None:
    session.turn(place=following(session.cast.places, session.controls.place))


def _ghost(session: Session) -> None:
    session.turn(ghost=not session.controls.ghost)


def _pause(session: Session) -> None:
    session.turn(paused=not session.controls.paused)


def _one_step(session: Session) -> None:
    session.turn(paused=True)
    session.step_once()


def _turning(dial: Dial, way: int) -> Callable[[Session], None]:
    def turn(session: Session) -> None:
        if dial not in session.cast.dials:
            session.say(f"no world here has a {dial.name} to turn")
            return
        value = round(getattr(session.controls, dial.name) + way * dial.step, 6)
        session.turn(**{dial.name: min(dial.most, max(dial.least, value))})
        session.say(f"{dial.name} is {getattr(session.controls, dial.name):g}")

    return turn


def _horizon(way: int) -> Callable[[Session], None]:
    def turn(session: Session) -> None:
        now = session.controls.horizon
        others = [value for value in HORIZONS if (value - now) * way > 0]
        session.turn(horizon=min(others, key=lambda value: abs(value - now), default=now))
        session.say(f"a dream ends after {session.controls.horizon} steps")

    return turn


def _keys_of_dials() -> Iterable[Command]:
    for dial, (less, more) in zip(DIALS, (("[", "]"), (";", "'")), strict=True):
        yield Command(Key(less, f"less {dial.name}"), _turning(dial, -1))
        yield Command(Key(more, f"more {dial.name}"), _turning(dial, 1))


COMMANDS: tuple[Command, ...] = (
    Command(Key("f2", "who drives: person, agent, planner, random"), _next_driver),
    Command(Key("tab", "hand over: the game, M's dream, the pixel model"), _next_place),
    Command(Key("f3", "the game waits beside a dream, or plays along"), _ghost),
    Command(Key(".", "pause, and on"), _pause),
    Command(Key("/", "one step"), _one_step),
    Command(Key("return", "begin the next episode"), Session.reset),
    *_keys_of_dials(),
    Command(Key("-", "a nearer horizon of dreams"), _horizon(-1)),
    Command(Key("=", "a farther one"), _horizon(1)),
)
"""What every face of a session offers."""


def help_of(session: Session) -> list[Key]:
    """Every key and what it does, those of the game first."""
    own = list(session.drivers.keyboard.keys)
    asked = [Key("y, n", "keep an episode that has ended, or not")] if session.keep else []
    return [*own, *(command.key for command in COMMANDS), *asked]
