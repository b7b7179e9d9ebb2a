"""What pages say changes the session, and moments say what is chosen."""

import json
from pathlib import Path
from typing import Any

import pytest
from told import read

from world_models.data.store import EpisodeStore
from world_models.play.cast import Cast, Driver, Place
from world_models.play.controls import Controls
from world_models.play.drawing import Look
from world_models.play.reel import Reel
from world_models.play.show import Browsing, Playing
from world_models.play.web.desk import Desk
from world_models.play.web.messages import Came, Hands, Hold, Left, Mail, Press, Turn

LOOK = Look(fps=1000, height=96)


@pytest.fixture
def session(make: Any) -> Any:
    return make(driver=Driver.person)


@pytest.fixture
def desk(session: Any, tmp_path: Path) -> Desk:
    """With page 0 open."""
    found = Desk(Playing(session), LOOK, tmp_path)
    found.take(Mail(0, Came()))
    return found


def hands(*held: str) -> Hands:
    return Hands(kind="hands", held=list(held))


def turn(**chosen: Any) -> Mail:
    return Mail(0, Turn(kind="turn", **chosen))


def told_by(desk: Desk) -> dict[str, Any]:
    return read(desk.step())[0]


def test_keys_of_all_pages_are_held_together_and_let_go_with_their_page(
    desk: Desk, session: Any
) -> None:
    desk.take(Mail(1, Came()))
    desk.take(Mail(0, hands("right")))
    assert told_by(desk)["held"] == ["right"] and int(session.drivers.action) == 4
    desk.take(Mail(1, hands("left")))
    desk.take(Mail(0, hands()))
    assert told_by(desk)["held"] == ["left"]
    desk.take(Mail(1, Left()))
    assert told_by(desk)["held"] == [] and int(session.drivers.action) == 0


def test_a_key_that_is_only_tapped_lasts_a_step(desk: Desk, session: Any) -> None:
    for held in (hands("right"), hands()):
        desk.take(Mail(0, held))
    desk.step()
    assert int(session.drivers.action) == 4
    desk.step()
    assert int(session.drivers.action) == 0


def test_a_page_turns_everything(desk: Desk, session: Any) -> None:
    chosen = {"driver": Driver.agent, "place": Place.dream, "ghost": True}
    desk.take(turn(**chosen, temperature=0.3, dropout=0.2, horizon=50))
    told = told_by(desk)["controls"]
    assert told["driver"] == "agent" and told["place"] == "dream"
    assert told == {**vars(session.controls), "driver": "agent", "place": "dream"}
    assert (session.controls.temperature, session.controls.horizon) == (0.3, 50)
    assert session.dream.age == 1


def test_what_cannot_be_turned_is_said_and_nothing_changes(desk: Desk, session: Any) -> None:
    before = session.controls
    desk.take(turn(temperature=7.0))
    assert "temperature" in told_by(desk)["notice"] and session.controls == before
    desk.take(Mail(0, Hold(kind="hold", pins={99: 1.0})))
    assert "numbers" in told_by(desk)["notice"] and not session.pins


def test_a_number_of_z_is_held_and_let_go(desk: Desk, session: Any) -> None:
    desk.take(turn(place=Place.dream))
    desk.take(Mail(0, Hold(kind="hold", pins={2: 1.5})))
    for _ in range(3):
        told = told_by(desk)
        assert told["latent"][2] == 1.5 and told["pins"] == [2]
    assert "1 of z held" in told["panels"][0]["label"]
    desk.take(Mail(0, Hold(kind="hold", pins={})))
    assert told_by(desk)["latent"][2] != 1.5


def test_buttons_are_keys(desk: Desk, session: Any) -> None:
    desk.step()
    desk.take(Mail(0, Press(kind="press", name=".")))
    assert told_by(desk)["controls"]["paused"] and session.game.at.steps == 1
    desk.take(Mail(0, Press(kind="press", name="/")))
    assert session.game.at.steps == 2


def test_a_comma_records_what_is_shown(desk: Desk, tmp_path: Path) -> None:
    desk.take(Mail(0, Press(kind="press", name=",")))
    assert told_by(desk)["recording"]
    desk.step()
    desk.take(Mail(0, Press(kind="press", name=",")))
    assert not told_by(desk)["recording"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".mp4", ".gif", ".npz"}


def test_an_episode_that_ends_is_asked_about(make: Any, tmp_path: Path) -> None:
    kept: list[Any] = []
    session = make(kept.append, driver=Driver.random)
    desk = Desk(Playing(session), LOOK, tmp_path)
    while not told_by(desk)["asks"]:
        assert not kept
    desk.take(Mail(0, Press(kind="press", name="y")))
    assert len(kept) == 1 and not told_by(desk)["asks"]


def test_an_offer_names_all_there_is(desk: Desk, cast: Cast) -> None:
    told = json.loads(desk.offer("Pellet"))
    assert told["name"] == "Pellet"
    assert {key["name"] for key in told["keys"]} == {"left", "right", "up", "down"}
    commands = {key["name"] for key in told["commands"]}
    assert {"tab", ".", "/", "return"} <= commands and not commands & {"left", "f1", "escape"}
    choices = told["choices"]
    assert choices["drivers"] == [driver.value for driver in cast.drivers]
    assert [value for value, _ in choices["places"]] == ["game", "dream", "pixel"]
    assert [dial["name"] for dial in choices["dials"]] == ["temperature", "dropout"]


def test_stored_episodes_have_nothing_to_turn(finished: Path, cast: Cast, tmp_path: Path) -> None:
    reel = Reel(EpisodeStore.open(finished / "rollout/episodes"), cast, Controls())
    desk = Desk(Browsing(reel), LOOK, tmp_path)
    told = json.loads(desk.offer("Pellet"))
    assert told["choices"] is None and told["keys"] == []
    desk.take(Mail(0, Press(kind="press", name="right")))
    desk.take(turn(ghost=True))
    assert reel.at == 1 and "controls" not in told_by(desk)
