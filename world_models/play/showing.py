"""The scene of a session: panels, numbers and keys, named as a person reads them."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from world_models.envs.keys import NOBODY, Held
from world_models.play.cast import Place
from world_models.play.eyes import Eyes
from world_models.play.pins import Pins
from world_models.play.scene import Curve, Panel, Pressed, Scene
from world_models.play.session import Session

QUESTION = "Keep this episode? y or n"
MOST_NUMBERS = 4
"""Dimensions of an action that are written out."""


def scene_of(session: Session, held: Held = NOBODY, panels: bool = True) -> Scene:
    """What is seen of a session now, with the keys that are held.

    Without `panels` it is only what is played in, which costs less.
    """
    return Scene(
        panels=tuple(_panels(session) if panels else islice(_panels(session), 1)),
        header=dict(_header(session)),
        keys=tuple(Pressed(key, key.name in held) for key in session.drivers.keyboard.keys),
        curves=tuple(_curves(session)),
        notice=QUESTION if session.asks else session.notice,
        asks=session.asks,
        step=session.done,
    )


def _panels(session: Session) -> Iterator[Panel]:
    if session.dream is not None:
        name = f"{session.cast.name(session.controls.place)}, {session.dream.age} steps old"
        yield Panel(name + _held(session.dream.pins), session.dream.picture)
        state = "beside it" if session.controls.ghost else "waits"
        yield Panel(f"the game {state}", session.game.picture)
    else:
        yield Panel("the game", session.game.picture)
    yield from _seen(session)


def _seen(session: Session) -> Iterator[Panel]:
    """What V and M, or tokens, make of the game's frame."""
    eyes = session.eyes
    yield Panel(eyes.sees if eyes else "its frame", rgb(session.game.frame))
    if eyes is None:
        return
    has_guess = session.dream is None and isinstance(eyes, Eyes)
    kept, *expected = eyes.draw(has_guess)
    yield Panel(f"{eyes.keeps}{_held(session.pins)}", rgb(kept))
    if has_guess:
        yield Panel("M's guess before it", rgb(expected[0]) if expected else None)


def _held(pins: Pins) -> str:
    return f", {len(pins)} of z held" if pins else ""


def rgb(frame: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) as (H, W, 3)."""
    return np.broadcast_to(frame, (*frame.shape[:2], 3))


def _header(session: Session) -> Iterator[tuple[str, str]]:
    controls, at = session.controls, session.here.at
    chance = at.chance
    if session.dream is None and session.eyes is not None and session.eyes.guess is not None:
        chance = session.eyes.guess.chance
    yield "driver", controls.driver.value
    yield "world", session.cast.name(controls.place if session.dream else Place.game)
    yield "step", str(at.steps)
    yield "action", numbers(session.drivers.action) if at.steps else ""
    yield "reward", "" if at.reward is None else f"{at.reward:.2f}"
    yield "return", f"{at.total:.1f}"
    if len(session.cast.places) > 1:
        yield "end", "" if chance is None else f"{chance:.0%}"
    if any(dial.name == "temperature" for dial in session.cast.dials):
        yield "temperature", f"{controls.temperature:.1f}"
    if len(session.cast.places) > 1:
        yield "age", "" if session.dream is None else f"{session.dream.age} of {controls.horizon}"
    if controls.paused:
        yield "paused", ""


def numbers(action: np.ndarray) -> str:
    """An action as it is written."""
    if action.ndim == 0:
        return str(int(action))
    return " ".join(f"{number:+.2f}" for number in action[:MOST_NUMBERS])


def _curves(session: Session) -> Iterator[Curve]:
    """How far the dream is from the game beside it."""
    if not session.distances:
        return
    yield Curve("PSNR in dB", tuple(gap.psnr for gap in session.distances))
    latents = [gap.latent for gap in session.distances if gap.latent is not None]
    if latents:
        yield Curve("error of z", tuple(latents))
