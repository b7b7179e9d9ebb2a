"""A real window, on a screen of its own (Xvfb), with real keys (xdotool)."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import ENV
from PIL import ImageGrab

import world_models
from world_models.play.drawing import BAND

NEEDED = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(NEEDED), reason=f"{', '.join(NEEDED)} not installed"),
]


@pytest.fixture
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1100x700x24"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().strip()}"
        server.terminate()


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_person_hands_over_records_and_closes(
    display: str, finished: Path, tmp_path: Path
) -> None:
    package = str(Path(world_models.__file__).parents[1])
    screen = {**os.environ, "DISPLAY": display, "PYTHONPATH": package}
    screen.pop("SDL_VIDEODRIVER", None)
    arguments = ["stage=play", *ENV, f"upstream={finished}", f"outputs={tmp_path}", "stage.fps=20"]
    command = [sys.executable, "-m", "world_models.main", *arguments]

    def press(name: str) -> None:
        subprocess.run(["xdotool", "key", name], env=screen, check=True)

    def shown() -> np.ndarray:
        return np.array(ImageGrab.grab(xdisplay=display))

    def recorded() -> bool:
        return bool(list(tmp_path.glob("recordings/*.npz")))

    with subprocess.Popen(command, env=screen, stderr=subprocess.PIPE, text=True) as window:
        until(lambda: bool((shown() == BAND).all(axis=-1).mean() > 0.02))
        press("comma")
        press("Tab")
        time.sleep(2)
        press("comma")
        until(recorded)
        press("Escape")
        assert window.wait(60) == 0, window.stderr
    (steps,) = (np.load(path) for path in tmp_path.glob("recordings/*.npz"))
    assert steps["dreamt"].any()
