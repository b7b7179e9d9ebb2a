"""Both pages on a phone in Chromium: fingers drive, and let go."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import torch
from serving_shows import served, until

from benchmarks.browser import PROGRAM, Tab, tab
from world_models.agents.agent import load_agent
from world_models.agents.trained import find_agent
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.play.cast import Cast, Driver, cast_of_agent
from world_models.play.controls import Controls
from world_models.play.export import page_of
from world_models.play.game import Game
from world_models.play.session import Session
from world_models.play.show import Playing
from world_models.worlds.memory import LatentState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="needs Chromium"),
]
PHONE = (390, 844)
LEFT, UP = "[data-name=left]", "[data-name=up]"
IN_SIGHT = f"""[...document.querySelectorAll('{LEFT}, {UP}, canvas')].slice(0, 3).every((it) => {{
  const box = it.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
}})"""


@pytest.fixture(scope="module")
def packaged() -> Cast:
    return cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)


@contextmanager
def phone(address: str) -> Iterator[Tab]:
    with tab(address) as page:
        page.resize(*PHONE, scale=2)
        page.as_touch_screen()
        yield page


def test_fingers_drive_the_exported_dream(packaged: Cast, tmp_path: Path) -> None:
    model, file = packaged.model, tmp_path / "dream.html"
    assert model is not None
    starts = LatentState(torch.zeros(1, model.mdrnn.latents), *torch.zeros(2, 1, 256))
    file.write_text(page_of(packaged, starts))
    with phone(file.as_uri()) as page:
        page.until("now.steps > 2 && now.driver === 'agent'")
        assert page.evaluate(IN_SIGHT)
        page.touch(LEFT)
        page.until("now.driver === 'you' && now.action[0] < -0.9")
        page.touch(LEFT, UP)
        page.until("held.size === 2 && now.action[1] > 0.9")
        page.touch()
        page.until("held.size === 0 && now.action.every((part) => part === 0)")


def test_fingers_drive_the_page_of_a_session(packaged: Cast, tmp_path: Path) -> None:
    game = Game(make_vector_env(packaged.env, Backend.gymnasium, 1))
    session = Session(packaged, game, Controls(driver=Driver.agent), count(70))
    with served(Playing(session), tmp_path, fps=30) as (address, _), phone(address) as page:
        page.until("driver === 'agent' && document.querySelectorAll('figure').length >= 4")
        assert page.evaluate(IN_SIGHT)
        page.touch(LEFT)
        until(lambda: session.controls.driver is Driver.person)
        until(lambda: session.drivers.action[0] < -0.9)
        page.touch(LEFT, UP)
        until(lambda: session.drivers.action[1] > 0.9)
        page.touch()
        until(lambda: not session.drivers.action.any())
    session.close()
