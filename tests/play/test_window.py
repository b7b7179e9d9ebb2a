"""The window: posted keys do what the tables say, and pictures reach the screen."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.data.store import EpisodeStore
from world_models.play.cast import Cast, Driver, Place
from world_models.play.controls import Controls
from world_models.play.drawing import Look
from world_models.play.reel import Reel
from world_models.play.show import Browsing, Playing
from world_models.play.window import Window, require_screen

LOOK = Look(fps=1000, height=96)
Act = Callable[[Window], None]


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("DISPLAY", ":0")
    yield


def post(window: Window, *names: str, up: bool = False) -> None:
    pygame = window.pygame
    kind = pygame.KEYUP if up else pygame.KEYDOWN
    for name in names:
        pygame.event.post(pygame.event.Event(kind, key=pygame.key.key_code(name)))


def run(window: Window, monkeypatch: pytest.MonkeyPatch, *acts: Act) -> None:
    """Run a window that shows a picture after each of these, and is closed after the last."""
    left, show = list(acts), window._show

    def then(picture: np.ndarray) -> None:
        show(picture)
        if left:
            left.pop(0)(window)
        else:
            window.pygame.event.post(window.pygame.event.Event(window.pygame.QUIT))

    monkeypatch.setattr(window, "_show", then)
    window.run()


def pressing(*names: str, up: bool = False) -> Act:
    return lambda window: post(window, *names, up=up)


def waiting(window: Window) -> None:
    """Nothing is pressed."""


def test_keys_drive_and_are_let_go(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make(driver=Driver.person)
    window, actions = Window(Playing(session), LOOK, tmp_path), []
    step = session.step_once

    def noted(held: Any) -> None:
        step(held)
        actions.append(int(session.drivers.action))

    monkeypatch.setattr(session, "step_once", noted)
    acts = [pressing("right"), waiting, pressing("right", up=True), waiting]
    run(window, monkeypatch, *acts)
    # two frames pass before the first key is posted; 4 is to the right
    assert actions[:5] == [0, 0, 4, 4, 0]


def test_commands_change_the_session(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make(driver=Driver.random)
    acts = [pressing("tab", "f2", "]", "f3"), waiting]
    run(Window(Playing(session), LOOK, tmp_path), monkeypatch, *acts)
    controls = session.controls
    assert (controls.place, controls.driver) == (Place.dream, Driver.person)
    assert controls.temperature == 1.1 and controls.ghost
    assert list(tmp_path.iterdir()) == []


def test_the_screen_shows_the_picture(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, shown = Window(Playing(make(driver=Driver.random)), LOOK, tmp_path), []

    def look(window: Window) -> None:
        shown.append(window.pygame.surfarray.array3d(window.surface).swapaxes(0, 1))

    draws: list[np.ndarray] = []
    step = window._step

    def noted() -> np.ndarray:
        draws.append(step())
        return draws[-1]

    monkeypatch.setattr(window, "_step", noted)
    run(window, monkeypatch, look)
    np.testing.assert_array_equal(shown[0], draws[1])


def test_help_holds_the_game_and_escape_closes(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, steps = make(driver=Driver.random, horizon=10), []

    def note(window: Window) -> None:
        steps.append((session.game.at.steps, window.shows_help))

    acts = [pressing("f1"), note, note, pressing("f1"), note, pressing("escape"), waiting, waiting]
    run(Window(Playing(session), LOOK, tmp_path), monkeypatch, *acts)
    (first, shown), (second, _), (third, hidden) = steps
    assert shown and not hidden and first == second < third


def test_a_comma_starts_and_stops_a_recording(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make(driver=Driver.random)
    acts = [pressing(","), waiting, pressing("."), waiting, pressing("."), pressing(","), waiting]
    run(Window(Playing(session), LOOK, tmp_path), monkeypatch, *acts)
    kinds = {path.suffix: path for path in tmp_path.iterdir()}
    assert set(kinds) == {".mp4", ".gif", ".npz"}
    # one frame without a step while it was paused, twice
    assert len(np.load(kinds[".npz"])["rewards"]) == 3


def test_a_recording_that_runs_is_finished_with_the_window(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make(driver=Driver.random)
    acts = [pressing(","), waiting, pressing("f4"), waiting]
    window = Window(Playing(session), LOOK, tmp_path)
    run(window, monkeypatch, *acts)
    assert len(list(tmp_path.glob("*.mp4"))) == 1 and window.look.header


def test_stored_episodes_are_shown_in_it_too(
    finished: Path, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel = Reel(EpisodeStore.open(finished / "rollout/episodes"), cast, Controls())
    acts = [pressing("down"), pressing("right", "right", "left"), waiting]
    run(Window(Browsing(reel), LOOK, tmp_path), monkeypatch, *acts)
    assert (reel.number, reel.at) == (1, 1)


def test_an_episode_is_kept_by_y_and_left_by_n(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    session = make(kept.append, driver=Driver.random)
    for answer, expected in (("n", 0), ("y", 1)):
        session.step()
        while not session.asks:
            session.step()
        run(
            Window(Playing(session), LOOK, tmp_path),
            monkeypatch,
            waiting,
            pressing(answer),
            waiting,
        )
        assert not session.asks and len(kept) == expected


@pytest.mark.parametrize("driver", ["nonsense", "dummy"])
def test_without_a_screen_it_is_said_how_to_record(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    if driver == "nonsense":
        with pytest.raises(ValueError, match=r"stage\.record="):
            Window(Playing(make()), LOOK, tmp_path).run()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match=r"stage\.record="):
        require_screen()
