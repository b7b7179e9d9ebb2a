"""A scene as a picture: of one size, labelled inside, with what is pressed lit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from world_models.envs.keys import Key
from world_models.play.cast import Cast, Driver, Place
from world_models.play.drawing import LIT, Look, draw_help
from world_models.play.scene import Curve, Panel, Pressed, Scene
from world_models.play.showing import QUESTION, scene_of

RED, GREEN = (np.full((20, 30, 3), ink, np.uint8) for ink in ((200, 0, 0), (0, 200, 0)))
SCENE = Scene((Panel("large", RED), Panel("small", GREEN)), {"step": "3"}, ())


def test_every_scene_of_a_session_gives_a_picture_of_one_size(make: Any) -> None:
    session, look = make(driver=Driver.random, ghost=True), Look(height=130)
    shapes = [look.draw(scene_of(session)).shape]
    for place in (Place.dream, Place.pixel, Place.game):
        session.turn(place=place)
        for _ in range(3):
            session.step()
            shapes.append(look.draw(scene_of(session)).shape)
    assert len(set(shapes)) == 1 and not shapes[0][0] % 2 and not shapes[0][1] % 2


@pytest.mark.parametrize("height", [96, 384, 700])
def test_panels_keep_their_sides_and_lie_where_they_belong(height: int) -> None:
    picture = Look(height=height).draw(SCENE)
    look = Look(height=height)
    middle = picture[2 * look.line :][:height]
    wide = height * 3 // 2
    assert tuple(middle[height * 3 // 4, wide // 2]) == (200, 0, 0)
    assert tuple(middle[height // 4 + look.line // 2, wide + height // 4]) == (0, 200, 0)
    alone = replace(look, panels=False, header=False).draw(SCENE)
    assert alone.shape == (height + 2 * look.line, wide // 2 * 2, 3)


def test_labels_grow_with_the_picture() -> None:
    blank = replace(SCENE, panels=(Panel("large", None),))
    inked = []
    for height in (200, 600):
        look = Look(height=height, panels=False, header=False)
        inked.append(int((look.draw(blank)[: look.line].max(axis=2) > 100).sum()))
    assert inked[1] > 2 * inked[0] > 0


def test_held_keys_are_lit() -> None:
    def lit(*held: str) -> int:
        keys = tuple(Pressed(Key(name, ""), name in held) for name in ("left", "right"))
        picture = Look(height=120).draw(replace(SCENE, keys=keys))
        return int((picture == LIT).all(axis=2).sum())

    assert lit() == 0 < lit("left") < lit("left", "right")


def test_curves_fill_the_last_field_where_it_is_free() -> None:
    look = Look(height=160)
    rising = Curve("PSNR", tuple(float(value) for value in range(20)))
    plain, drawn = look.draw(SCENE), look.draw(replace(SCENE, curves=(rising, rising)))
    differ = np.argwhere((plain != drawn).any(axis=2))
    assert len(differ) and differ[:, 0].min() >= 2 * look.line + 80
    assert differ[:, 1].min() >= 240 + 80


def test_keys_of_help_lie_over_a_darkened_picture() -> None:
    bright = np.full((100, 300, 3), 200, np.uint8)
    assert (draw_help(bright, [], 12) == 50).all()
    assert (draw_help(bright, [Key("f1", "this help")] * 12, 12) > 50).any()
    assert (bright == 200).all()


def test_panels_show_what_is_seen_and_expected(make: Any, cast: Cast) -> None:
    session = make(driver=Driver.random)
    first = scene_of(session).panels
    assert [panel.label for panel in first] == [
        "the game",
        "what V sees",
        "V's picture of it",
        "M's guess before it",
    ]
    assert first[3].picture is None
    guess = session.eyes.copy(0, session.game.frame)
    session.step()
    guess.remember(session.done.action)
    expected = guess.guess.latent
    _, sees, keeps, foresaw = scene_of(session).panels
    np.testing.assert_array_equal(sees.picture, session.game.frame)
    model = cast.model
    # of one width, since kernels change with it
    drawn = model.decode(model.encode(session.game.frame[None].repeat(2, axis=0)))[0]
    assert np.abs(keeps.picture.astype(int) - drawn).max() <= 1
    assert np.abs(foresaw.picture.astype(int) - model.decode(expected)[0]).max() <= 1


def test_the_header_counts_and_the_question_is_asked(make: Any) -> None:
    session = make([].append, driver=Driver.random)
    while not session.asks:
        session.step()
    scene = scene_of(session)
    assert scene.notice == QUESTION
    assert scene.header["step"] == str(session.game.at.steps)
    assert scene.header["return"] == f"{session.game.at.total:.1f}"
    assert scene.header["end"].endswith("%")


def test_without_a_model_there_is_the_game_alone(make: Any, cast: Cast) -> None:
    session = make(cast=Cast(cast.env, cast.backend), driver=Driver.random)
    session.step()
    scene = scene_of(session)
    assert [panel.label for panel in scene.panels] == ["the game", "its frame"]
    assert "temperature" not in scene.header and "age" not in scene.header
