"""Playing in a world of tokens, which goes on from what the game showed."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import small

from world_models import play
from world_models.main import main
from world_models.play.cast import Cast, Driver, Place
from world_models.play.commands import COMMANDS, obey
from world_models.play.opening import open_pixel, resolve_pixel
from world_models.play.showing import scene_of
from world_models.play.web.desk import choices_of
from world_models.runs.past import PastRun
from world_models.worlds.token import TokenWorld


@pytest.fixture(scope="module")
def token_cast(token_world_run: Path, cast: Cast) -> Cast:
    """The agent of V, M and C beside a world of tokens."""
    return replace(cast, pixel=open_pixel(PastRun(token_world_run), "cpu"))


def test_it_takes_over_where_the_game_stands(make: Any, token_cast: Cast) -> None:
    session = make(cast=token_cast, driver=Driver.random, temperature=0.0)
    session.step()
    session.turn(place=Place.pixel)
    assert isinstance(token_cast.pixel, TokenWorld) and session.dream is not None
    frame = session.game.tape.frames[-1]
    begun = token_cast.pixel.after_frames(frame[None], np.zeros(0, np.int64))
    assert torch.equal(session.dream.state.tokens, begun.tokens)
    session.step()
    action = token_cast.env.action_space.to_model(np.array([session.done.action]))
    after, _ = token_cast.pixel.model.step(
        begun, torch.from_numpy(action), lambda logits: logits.argmax(-1)
    )
    assert torch.equal(session.dream.state.tokens, after.tokens)
    scene = scene_of(session)
    assert scene.panels[0].label == "the token world, 1 steps old"
    assert scene.header["world"] == "the token world" and scene.header["reward"]


def test_its_temperature_can_be_turned(make: Any, token_cast: Cast) -> None:
    """And is shown; a dial of M's dream alone is told to be none."""
    assert [dial.name for dial in token_cast.dials] == ["temperature", "dropout"]
    alone = Cast(token_cast.env, token_cast.backend, pixel=token_cast.pixel)
    session = make(cast=alone, driver=Driver.random)
    keys = {command.key.name: command.do for command in COMMANDS}
    obey(session, keys["]"])
    session.turn(place=Place.pixel)
    session.step()
    assert scene_of(session).header["temperature"] == "1.1"
    assert [dial["name"] for dial in choices_of(session)["dials"]] == ["temperature"]
    obey(session, keys["'"])
    assert session.notice == "no world here has a dropout to turn"
    assert session.controls.dropout == 0


def test_the_page_has_a_word_for_all_that_can_be_chosen(cast: Cast, token_cast: Cast) -> None:
    words = Path(play.__file__).parent / "web" / "page" / "controls.js"
    known = words.read_text().partition("const WORDS = {")[2].partition("}")[0]
    names = {one.name(place) for one in (cast, token_cast) for place in one.places}
    assert {"the token world", "the pixel model"} < names
    for name in names | {driver.value for driver in Driver}:
        assert re.search(rf'(^|[ "]){re.escape(name)}"?: "[A-Z]', known, re.M), name


def test_it_needs_no_episodes(token_world_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are large, and may be gone."""
    ask = PastRun.inputs

    def gone(run: PastRun, kind: str) -> list[Path]:
        if kind == "episodes":
            raise ValueError("episodes are gone")
        return ask(run, kind)

    monkeypatch.setattr(PastRun, "inputs", gone)
    assert isinstance(open_pixel(PastRun(token_world_run), "cpu"), TokenWorld)


def test_it_can_be_named_beside_an_agent(token_world_run: Path, cast: Cast) -> None:
    assert resolve_pixel(str(token_world_run), cast.env) == str(token_world_run)
    with pytest.raises(ValueError, match=r"is no finished run of stage=pixel or stage=token_world"):
        resolve_pixel(str(PastRun(token_world_run).input("tokenizer").parents[1]), cast.env)


def test_stage_play_opens_it(
    token_world_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "film"
    keys = [f"stage.record={record}", "stage.driver=random", "stage.world=pixel", "stage.steps=4"]
    begin = ["stage=play", *small("rollout")[1:3], f"upstream={token_world_run}"]
    assert main([*begin, *keys, f"outputs={tmp_path / 'outputs'}"]) == 0, capsys.readouterr().err
    assert record.with_suffix(".mp4").stat().st_size > 1000
