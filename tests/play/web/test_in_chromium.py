"""The page in Chromium: keys move the car, sliders the picture, and a lost link is shown."""

import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_shows import Way, served, until

from benchmarks.browser import PROGRAM, Tab, tab
from world_models.agents.agent import load_agent
from world_models.agents.trained import find_agent
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.play.cast import Driver, Place, cast_of_agent
from world_models.play.controls import Controls
from world_models.play.game import Game
from world_models.play.session import Session
from world_models.play.show import Playing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="needs Chromium"),
]
SHOWN = "document.querySelectorAll('canvas')[{0}].toDataURL()"
LOST = "!document.getElementById('lost').hidden"
LIVE = "document.getElementById('link').textContent === 'live'"
HELD = "document.querySelectorAll('.key.held').length"


@pytest.fixture(scope="module")
def driving() -> Iterator[Session]:
    """The packaged agent's CarRacing, a person at the wheel."""
    cast = cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)
    game = Game(make_vector_env(cast.env, Backend.gymnasium, 1))
    session = Session(cast, game, Controls(driver=Driver.person), count(70))
    yield session
    session.close()


def click(page: Tab, selector: str) -> None:
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def slide(page: Tab, selector: str, value: str) -> None:
    """A slider is moved, as by a finger."""
    script = f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
    page.evaluate(f"{script} it.value = {value}; it.dispatchEvent(new Event('input')); }})()")


def car_of(session: Session) -> np.ndarray:
    """Where the car is, in metres."""
    (slot,) = session.game.envs._envs  # type: ignore[attr-defined]
    return np.array(slot.env.unwrapped.car.hull.position)


def test_keys_move_the_car_and_are_seen_to_be_held(driving: Session, tmp_path: Path) -> None:
    with served(Playing(driving), tmp_path, fps=30) as (address, _), tab(address) as page:
        page.until("document.querySelectorAll('figure').length >= 4")
        begun = driving.game.at.steps
        until(lambda: driving.game.at.steps > begun + 3)
        before, stood = page.evaluate(SHOWN.format(0)), car_of(driving)
        page.key("up", True)
        page.until(f"{HELD} === 1")
        page.until("document.querySelector('.facts .action dd').textContent.includes('+1.00')")
        until(lambda: np.linalg.norm(car_of(driving) - stood) > 3)
        assert page.evaluate(SHOWN.format(0)) != before
        page.key("up", False)
        page.until(f"{HELD} === 0")
        until(lambda: not driving.drivers.action.any())


def test_sliders_change_the_picture_and_dials_the_session(driving: Session, tmp_path: Path) -> None:
    with served(Playing(driving), tmp_path, fps=30) as (address, _), tab(address) as page:
        page.until("document.querySelector('[value=dream]') !== null")
        click(page, "[value=dream]")
        page.until("document.querySelector('figcaption')?.textContent.includes('dream')")
        click(page, '[data-press="."]')
        page.until("document.querySelector('[data-press=\".\"]').ariaPressed === 'true'")
        click(page, "#knows summary")
        picture = page.evaluate(SHOWN.format(0))
        slide(page, "#latents label:nth-child(4) input", "2.5")
        page.until(f"{SHOWN.format(0)} !== {json.dumps(picture)}")
        until(lambda: driving.latent is not None and driving.latent[0, 3] == 2.5)
        page.until("document.querySelectorAll('.pinned').length === 1")
        click(page, "#release")
        until(lambda: not driving.pins)
        slide(page, "#dials label:nth-child(1) input", "0.3")
        until(lambda: driving.controls.temperature == 0.3)
        click(page, '[data-press="."]')
        until(lambda: not driving.controls.paused)
        click(page, "[value=game]")
        until(lambda: driving.controls.place is Place.game)


def test_a_lost_connection_is_shown_and_recovers(driving: Session, tmp_path: Path) -> None:
    with served(Playing(driving), tmp_path, fps=30) as (address, notes):
        way = Way(int(address.split(":")[2].strip("/")))
        with tab(f"http://127.0.0.1:{way.port}/") as page:
            page.until(LIVE)
            page.key("up", True)
            until(lambda: driving.drivers.action[1] > 0)
            way.cut()
            page.until(LOST)
            page.until(f"{LIVE} && !({LOST})")
            # what was held is let go, and the session has gone on where it stood
            until(lambda: not driving.drivers.action.any())
            assert "a page is open: it goes on" in notes.said
            # an end that nobody tells of
            way.is_stopped = True
            page.until(LOST)
            way.is_stopped = False
            page.until(f"{LIVE} && !({LOST})")
        way.close()


def test_the_end_of_the_program_is_told(driving: Session, tmp_path: Path) -> None:
    with served(Playing(driving), tmp_path, fps=30) as (address, _):
        opened = tab(address)
        page = opened.__enter__()
        page.until(LIVE)
    try:
        page.until(LOST)
        said: Any = page.evaluate("document.getElementById('lost-why').textContent")
        assert said == "The program has ended."
        with served(Playing(driving), tmp_path, fps=30, port=int(address.split(":")[2][:-1])):
            page.until(f"{LIVE} && !({LOST})")
    finally:
        opened.__exit__(None, None, None)
