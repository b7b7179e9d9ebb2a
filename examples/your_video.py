"""Your own video as data: <folder for all of it>; V and M learn what two recordings show.

Put your own mp4 files in the place of those that are drawn here, and beside each a CSV file of the
same name with what was done from one frame to the next.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from world_models.figures.media import save_video
from world_models.main import main as run_stage


def record(folder, name, seed, steps=40):
    """A bar that an action moves to the left or to the right, as a recorder would keep it."""
    draws = np.random.default_rng(seed)
    actions = draws.integers(0, 3, steps)
    places = 30 + np.cumsum([0, *(3 * (actions - 1))]).clip(-28, 28)
    frames = np.full((steps + 1, 64, 64, 3), 30, np.uint8)
    for frame, place in zip(frames, places, strict=True):
        frame[20:44, place : place + 4] = (90, 200, 250)
    save_video(folder / f"{name}.mp4", frames)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["action"], *([int(action)] for action in actions)])


def main(folder, *keys):
    """Record, convert, train; `keys` are more keys of V, such as stage.num_epochs=2."""
    videos = Path(folder) / "videos"
    videos.mkdir(parents=True)
    for number in range(4):
        record(videos, f"play_{number}", number)
    env = ["env=data", "env.name=my_game", "env.actions=3", f"outputs={folder}/outputs"]
    read = [f"stage.source={videos}", "stage.val_fraction=0.25"]
    status = run_stage(["stage=convert", *read, *env])
    return status or run_stage(["stage=vae", *env, *keys])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
