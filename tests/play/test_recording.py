"""Recordings: every picture in the video, every step in the arrays, without a screen."""

import logging
import os
import signal
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from world_models.play import recording
from world_models.play.cast import Driver, Place
from world_models.play.drawing import Look
from world_models.play.recording import Recording
from world_models.play.screenless import record
from world_models.play.show import Playing
from world_models.runs.signals import interruptible

LOOK = Look(fps=12, height=96, panels=False)


def test_a_session_is_recorded_step_by_step(make: Any, tmp_path: Path) -> None:
    session, again = make(driver=Driver.random), make(driver=Driver.random)
    made = record(Playing(session), tmp_path / "new/clip.mp4", 5, LOOK)
    assert [path.name for path in made] == ["clip.mp4", "clip.gif", "clip.npz"]
    with av.open(str(made[0])) as video:
        assert video.streams.video[0].average_rate == 12
        assert sum(1 for _ in video.decode(video=0)) == 6
    steps = np.load(made[2])
    for number in range(5):
        np.testing.assert_array_equal(steps["frames"][number], again.game.frame)
        again.step()
        assert steps["actions"][number] == again.done.action
        assert steps["rewards"][number] == again.done.reward
        assert steps["done"][number] == again.done.done
    assert not steps["dreamt"].any()


def test_dreams_are_marked_and_their_frames_are_what_was_dreamt(make: Any, tmp_path: Path) -> None:
    session = make(driver=Driver.random, place=Place.dream)
    frame = session.dream.frame
    *_, npz = record(Playing(session), tmp_path / "dream", 3, LOOK)
    steps = np.load(npz)
    assert steps["dreamt"].all()
    np.testing.assert_array_equal(steps["frames"][0], frame)


def test_nobody_is_asked_and_every_episode_is_kept(make: Any, tmp_path: Path) -> None:
    kept: list[Any] = []
    session = make(kept.append, driver=Driver.random)
    record(Playing(session), tmp_path / "kept", 60, LOOK)
    assert len(kept) >= 2


def test_what_was_recorded_before_an_interruption_is_there_and_said(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = make(driver=Driver.random)
    step = session.step

    def interrupted(held: Any) -> None:
        if session.game.at.steps == 2:
            os.kill(os.getpid(), signal.SIGINT)
        step()

    monkeypatch.setattr(session, "step", interrupted)
    caplog.set_level(logging.INFO)
    with pytest.raises(KeyboardInterrupt), interruptible():
        record(Playing(session), tmp_path / "cut", 9, LOOK)
    assert len(np.load(tmp_path / "cut.npz")["rewards"]) == 2
    assert (tmp_path / "cut.gif").is_file()
    assert "recorded 2 of 9 steps: " in caplog.text and "cut.npz" in caplog.text
    assert not list(tmp_path.glob(".*"))


def test_a_long_gif_shows_fewer_pictures_at_the_same_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MOST_IN_A_GIF", 4)
    made = Recording(tmp_path / "long", 20)
    for number in range(11):
        made.add(np.full((8, 8, 3), 20 * number, np.uint8), None)
    _, gif = made.close()
    with Image.open(gif) as film:
        assert film.n_frames == 3
        assert film.info["duration"] == 200
        shades = []
        for number in range(3):
            film.seek(number)
            shades.append(film.convert("RGB").getpixel((0, 0))[0])
    assert shades == [0, 80, 160]


def test_nothing_recorded_leaves_nothing(tmp_path: Path) -> None:
    assert Recording(tmp_path / "none", 20).close() == []
    assert list(tmp_path.iterdir()) == []
