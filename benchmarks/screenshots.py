"""Pictures of every mode and page of `stage=play`, of an exported page and of reports, and a film
of driving beside dreaming: `make screenshots`, or

    python -m benchmarks.screenshots <folder> --run <run folder of a pipeline>

The packaged agent drives. Windows are shown by Xvfb (keys by xdotool), pages in Chromium. Without
a run there are no stored episodes and no reports to show.
"""

import argparse
import os
import subprocess
import time
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageGrab

from benchmarks.browser import Tab, tab
from benchmarks.started import address_of, program, screen
from world_models.agents.agent import load_agent
from world_models.agents.trained import find_agent
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.figures.media import save_gif, side_by_side
from world_models.play.cast import Driver, Place, cast_of_agent
from world_models.play.controls import Controls
from world_models.play.game import Game
from world_models.play.session import Session

AGENT = ["stage=play", "agent=car_racing"]
DREAM = ["stage.world=dream", "stage.ghost=true"]
WINDOWS = {
    "window_game": ([], ()),
    "window_dream": (DREAM, ()),
    "window_plain": (["stage.panels=false", "stage.header=false"], ()),
    "window_person": (["stage.driver=person"], ("Up",)),
    "window_help": ([], ("F1",)),
}
"""Name of a picture -> keys of the stage, and keys that are pressed."""
SIZES = {"desktop": (1280, 800, 1.0), "phone": (390, 844, 2.0)}
LONG_ENOUGH = 8.0
"""Seconds of play after which a picture is taken: CarRacing has zoomed in, curves have a shape."""
LIVE = "document.getElementById('link')?.textContent === 'live'"
FILM_SKIPS, FILM_STEPS, FILM_EVERY, FILM_FPS, FILM_HEIGHT = 60, 240, 3, 15, 200
FIRST_SEED = 7


def show_window(path: Path, arguments: list[str], keys: tuple[str, ...]) -> None:
    """What the window of a session shows after a while."""
    with screen() as display, program(*arguments, DISPLAY=display):
        began = time.monotonic()
        while not np.asarray(ImageGrab.grab(xdisplay=display)).any():
            if time.monotonic() - began > 120:
                raise RuntimeError(f"no window of {' '.join(arguments)} opens")
            time.sleep(0.5)
        time.sleep(LONG_ENOUGH)
        for key in keys:
            subprocess.run(["xdotool", "keydown", key], env={**os.environ, "DISPLAY": display})
            time.sleep(2)
        ImageGrab.grab(xdisplay=display).save(path)


def show_page_of_session(folder: Path) -> None:
    """The page of a session: game and dream, at both widths, in light and dark; sliders; loss."""
    with program(*AGENT, "stage.ui=web", "stage.port=0") as served, tab(address_of(served)) as page:
        page.until(LIVE)
        for place in ("game", "dream"):
            click(page, f"[value={place}]")
            if place == "dream":
                click(page, "#ghost")
            time.sleep(LONG_ENOUGH)
            show_sizes(page, folder, f"web_{place}")
        page.resize(*SIZES["desktop"][:2])
        click(page, "#knows summary")
        slide = "(it => { it.value = 3; it.oninput(); })"
        page.evaluate(f"{slide}(document.querySelector('#latents input'))")
        time.sleep(2)
        page.screenshot(folder / "web_sliders.png", whole=True)
        click(page, "#knows summary")
        served.terminate()
        page.until("!document.getElementById('lost').hidden")
        page.screenshot(folder / "web_lost.png")


def click(page: Tab, selector: str) -> None:
    """As by a mouse."""
    page.evaluate(f"document.querySelector({selector!r}).click()")


def show_sizes(page: Tab, folder: Path, name: str, whole: bool = False) -> None:
    """On a desk and on a phone, in light and dark; whole pages are too long for fine pixels."""
    for size, (width, height, scale) in SIZES.items():
        for dark in (False, True):
            page.resize(width, height, dark, 1.0 if whole else scale)
            time.sleep(1)
            shade = "dark" if dark else "light"
            page.screenshot(folder / f"{name}_{size}_{shade}.png", whole)


def show_export(folder: Path) -> None:
    """The exported page while the agent dreams."""
    file = folder / "dream.html"
    with program("stage=export", "agent=car_racing", f"stage.file={file}") as exporting:
        if exporting.wait() != 0:
            raise RuntimeError("stage=export failed")
    with tab(file.absolute().as_uri()) as page:
        time.sleep(LONG_ENOUGH)
        show_sizes(page, folder, "export")


def show_reports(run: Path, folder: Path) -> None:
    """Every page of a run, or of all runs in a folder."""
    for report in sorted(run.rglob("report.html")):
        part = "_".join(report.parent.relative_to(run).parts) or "run"
        with tab(report.absolute().as_uri()) as page:
            show_sizes(page, folder, f"report_{part}", whole=True)


def film(path: Path) -> None:
    """The agent in the game, and the same agent in M's dream from the same frame on."""
    cast = cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)
    taken: dict[str, list[np.ndarray]] = {"it drives the game": [], "it drives in M's dream": []}
    for place, pictures in zip((Place.game, Place.dream), taken.values(), strict=True):
        game = Game(make_vector_env(cast.env, Backend.gymnasium, 1))
        session = Session(cast, game, Controls(driver=Driver.agent), count(FIRST_SEED))
        for _ in range(FILM_SKIPS):
            session.step()
        session.turn(place=place)
        for number in range(FILM_STEPS):
            session.step()
            if number % FILM_EVERY == 0:
                pictures.append(smooth(session.here.picture))
        session.close()
    panels = {label: np.stack(pictures) for label, pictures in taken.items()}
    save_gif(path, side_by_side(panels, height=FILM_HEIGHT), fps=FILM_FPS)


def smooth(picture: np.ndarray) -> np.ndarray:
    """As high as the film, small pictures without squares."""
    width = round(FILM_HEIGHT * picture.shape[1] / picture.shape[0])
    return cv2.resize(picture, (width, FILM_HEIGHT), interpolation=cv2.INTER_CUBIC)


def main() -> None:
    """Everything, or what was named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("outputs/screenshots"))
    parser.add_argument("--run", type=Path, help="a finished pipeline")
    parser.add_argument("--only", choices=["windows", "web", "export", "reports", "film"])
    options = parser.parse_args()
    folder, run, only = options.folder, options.run, options.only
    folder.mkdir(parents=True, exist_ok=True)
    windows = {name: ([*AGENT, *keys], pressed) for name, (keys, pressed) in WINDOWS.items()}
    if run is not None:
        episodes = ["stage=play", f"upstream={run}", "stage.mode=episodes"]
        windows["window_episodes"] = (episodes, ("space",))
    if only in (None, "windows"):
        for name, (arguments, keys) in windows.items():
            show_window(folder / f"{name}.png", arguments, keys)
    if only in (None, "web"):
        show_page_of_session(folder)
    if only in (None, "export"):
        show_export(folder)
    if run is not None and only in (None, "reports"):
        show_reports(run, folder)
    if only in (None, "film"):
        film(folder / "driving_and_dreaming.gif")
    print(f"{len(list(folder.iterdir()))} files in {folder}")


if __name__ == "__main__":
    main()
