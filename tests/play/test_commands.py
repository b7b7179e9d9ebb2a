"""Commands change what a session's choices are; what cannot be is said, not raised."""

from typing import Any

import pytest

from world_models.envs.keys import NUMBERED, PAIRS
from world_models.play.cast import Cast, Driver, Place
from world_models.play.commands import COMMANDS, help_of, obey
from world_models.play.session import Session
from world_models.play.window import OWN_KEYS

BY_KEY = {command.key.name: command for command in COMMANDS}


def press(session: Session, *names: str) -> None:
    for name in names:
        obey(session, BY_KEY[name].do)


def test_drivers_and_worlds_go_round(make: Any) -> None:
    session = make()
    drivers = []
    for _ in range(4):
        press(session, "f2")
        drivers.append(session.controls.driver)
    assert drivers == [Driver.agent, Driver.planner, Driver.random, Driver.person]
    places = []
    for _ in range(3):
        press(session, "tab")
        places.append(session.controls.place)
    assert places == [Place.dream, Place.pixel, Place.game]


def test_what_cannot_be_is_said(make: Any, cast: Cast) -> None:
    kept: list[Any] = []
    session = make(kept.append, driver=Driver.random)
    while not session.asks:
        session.step()
    press(session, "return")
    assert "kept" in session.notice and session.game.is_over


@pytest.mark.parametrize(
    ("names", "field", "expected"),
    [
        (["]"] * 3, "temperature", 1.3),
        (["["] * 30, "temperature", 0.0),
        (["]"] * 30, "temperature", 3.0),
        (["'"] * 30, "dropout", 0.95),
        (["'", "'", ";"], "dropout", 0.05),
        (["-"], "horizon", 500),
        (["-"] * 9, "horizon", 10),
        (["-", "-", "="], "horizon", 500),
        (["="], "horizon", 1000),
        ([".", "."], "paused", False),
        (["f3"], "ghost", True),
    ],
)
def test_dials_turn_to_their_ends(make: Any, names: list[str], field: str, expected: Any) -> None:
    session = make()
    press(session, *names)
    assert getattr(session.controls, field) == pytest.approx(expected)


def test_one_step_pauses(make: Any) -> None:
    session = make(driver=Driver.random)
    press(session, "/", "/")
    session.step()
    assert session.controls.paused and session.game.at.steps == 2


def test_no_key_of_a_game_is_also_a_command(make: Any) -> None:
    taken = {command.key.name for command in COMMANDS} | {key.name for key in OWN_KEYS}
    assert len(taken) == len(COMMANDS) + len(OWN_KEYS)
    games = {*NUMBERED, *(name for pair in PAIRS for name in pair)}
    assert not taken & games


def test_help_names_every_key(make: Any) -> None:
    names = [key.name for key in help_of(make())]
    assert {"left", *BY_KEY} <= set(names)
    assert len(names) == len(set(names)) and "y, n" not in names
    assert "y, n" in [key.name for key in help_of(make([].append))]
