"""Frames a second of `stage=play` and of an exported page, each as fast as it can:

    python -m benchmarks.play --seconds 10 --repeats 3

The packaged agent drives CarRacing. The window is shown by Xvfb, pages by Chromium without a GPU;
what plays, draws and shows shares the cores of the machine, but for the exported page, which has
one core. 30 a second are shown otherwise.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from unittest import mock

import torch

from benchmarks.browser import tab
from benchmarks.started import address_of, program, screen
from world_models.agents.agent import load_agent
from world_models.agents.trained import find_agent
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.play.cast import Driver, Place, cast_of_agent
from world_models.play.controls import Controls
from world_models.play.drawing import Look
from world_models.play.export import page_of
from world_models.play.eyes import Eyes
from world_models.play.game import Game
from world_models.play.session import Session
from world_models.play.show import Playing
from world_models.play.window import Window

FAST = 100_000
"""Frames a second that are asked for: more than can be."""
WARM_UP = 30
COUNTED = "link.moment = (show => (...told) => { shown = (window.shown ?? 0) + 1; show(...told) })"


@dataclass(frozen=True)
class Mode:
    """Where it is played."""

    name: str
    place: Place
    ghost: bool

    @property
    def keys(self) -> list[str]:
        """The same as typed keys."""
        return [f"stage.world={self.place.value}", f"stage.ghost={str(self.ghost).lower()}"]


MODES = (
    Mode("the game", Place.game, False),
    Mode("M's dream", Place.dream, False),
    Mode("M's dream with the ghost", Place.dream, True),
)


def session_of(mode: Mode) -> Session:
    """The packaged agent at the wheel."""
    cast = cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)
    chosen = Controls(driver=Driver.agent, place=mode.place, ghost=mode.ghost)
    return Session(cast, Game(make_vector_env(cast.env, cast.backend, 1)), chosen, count(7))


def of_window(mode: Mode, seconds: float) -> float:
    """Of a window on a screen that nobody sees."""
    session = session_of(mode)
    window = Window(Playing(session), Look(fps=FAST), Path())
    shown: list[float] = []
    show = window._show

    def counted(picture):  # type: ignore[no-untyped-def]
        show(picture)
        shown.append(time.perf_counter())
        window.is_open = len(shown) <= WARM_UP or shown[-1] - shown[WARM_UP] < seconds

    with mock.patch.object(window, "_show", counted):
        window.run()
    session.close()
    return (len(shown) - 1 - WARM_UP) / (shown[-1] - shown[WARM_UP])


def of_page(mode: Mode, seconds: float) -> float:
    """Of a page, as it draws them."""
    served = ["stage=play", "agent=car_racing", "stage.ui=web", "stage.port=0", *mode.keys]
    with program(*served, f"stage.fps={FAST}") as playing, tab(address_of(playing)) as page:
        page.until("document.querySelectorAll('figure').length > 3")
        page.evaluate(f"{COUNTED}(link.moment); 0")
        time.sleep(1)
        before, began = page.evaluate("window.shown"), time.perf_counter()
        time.sleep(seconds)
        return (page.evaluate("window.shown") - before) / (time.perf_counter() - began)


def of_export(file: Path) -> float:
    """Of an exported page on one core."""
    with tab(f"{file.as_uri()}#measure", cores=(0,)) as page:
        return float(page.until("document.documentElement.dataset.rate"))


def exported(folder: Path) -> Path:
    """The page of the packaged agent, whose dreams begin at one place."""
    session, file = session_of(MODES[0]), folder / "dream.html"
    for _ in range(WARM_UP):
        session.step()
    assert isinstance(session.eyes, Eyes)
    file.write_text(page_of(session.cast, session.eyes.state))
    session.close()
    return file


def main() -> None:
    """Measure in turn, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = options.seconds
    with tempfile.TemporaryDirectory() as folder, screen() as display:
        os.environ["DISPLAY"] = display
        # chosen where there was no screen
        os.environ.pop("SDL_VIDEODRIVER", None)
        file = exported(Path(folder))
        ways: dict[str, Callable[[], float]] = {}
        for mode in MODES:
            ways[f"window, {mode.name}"] = lambda mode=mode: of_window(mode, seconds)
            ways[f"page, {mode.name}"] = lambda mode=mode: of_page(mode, seconds)
        ways["exported page, one core"] = lambda: of_export(file)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for name, measure in [*ways.items()] * options.repeats:
            found[name].append(measure())
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"frames a second, median of {options.repeats}; {cores} cores, load {load:.1f}\n")
    for name, rates in found.items():
        runs = " ".join(f"{rate:.1f}" for rate in rates)
        print(f"{name:34} {statistics.median(rates):7.1f}   [{runs}]")


if __name__ == "__main__":
    main()
