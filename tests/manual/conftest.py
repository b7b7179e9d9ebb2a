"""A folder that holds what the pages name: runs, recordings, scores. All of it is Pellet's."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
from commands import newest, small
from manual.blocks import ROOT, blocks
from manual.shell import RUN, Place

from world_models.main import main


@pytest.fixture(scope="session")
def place(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where commands and blocks are run: a run of pages is a finished one of Pellet there."""
    folder = tmp_path_factory.mktemp("place")
    pixel = made("pixel", finished, folder / "made", "stage.max_steps=1")
    for name in named_runs():
        kinds = {"coinrun": pixel, "2026-11-20": finished / "rollout"}
        source = next((run for word, run in kinds.items() if word in name), finished)
        shutil.copytree(source, folder / name)
    shutil.copytree(finished / "rollout", folder / "outputs" / "a")
    keys = ["-m", *small("rollout", "stage.episodes=4", "seed=1,2")]
    assert main([*keys, f"outputs={folder / 'swept'}"]) == 0
    (sweep,) = (folder / "swept" / "sweeps").glob("*/*")
    shutil.copytree(sweep, folder / "outputs" / "sweeps" / "c")
    jobs = sorted(path.parent for path in sweep.glob("*/manifest.json"))
    for letter, job in zip("bc", jobs, strict=True):
        shutil.copytree(job, folder / "outputs" / letter)
    add_files(finished, folder)
    return Place(folder)


def named_runs() -> set[str]:
    """The run folders of all pages: outputs/<env>/<date>/<time>."""
    text = "\n".join(block.source for block in blocks())
    found = re.findall(r"outputs/[\w-]+/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", text)
    return {RUN, *found}


def made(stage: str, finished: Path, outputs: Path, *keys: str) -> Path:
    """A small run on the episodes of the finished pipeline."""
    assert main(small(stage, f"upstream={finished / 'rollout'}", f"outputs={outputs}", *keys)) == 0
    return newest(outputs)


def add_files(finished: Path, folder: Path) -> None:
    """Recordings as .npz files and as videos, and scores of two algorithms."""
    keys = ["stage.to=npz", "stage.alignment=post", "env=pellet", f"outputs={folder / 'written'}"]
    assert main(["stage=convert", f"stage.source={finished / 'rollout'}", *keys]) == 0
    written = next(newest(folder / "written").glob("*/*.npz")).parent
    shutil.copytree(written, folder / "rollouts")
    record = runpy.run_path(str(ROOT / "examples" / "your_video.py"), run_name="video")["record"]
    (folder / "my_game").mkdir()
    for number in range(12):
        record(folder / "my_game", f"play_{number}", number)
    (folder / "scores").mkdir()
    for name, scores in {
        "RANDOM": [1.0],
        "HUMAN": [9.0],
        "OURS": [4.0, 5.0],
        "OTHER": [6.0],
    }.items():
        (folder / "scores" / f"{name}.json").write_text(json.dumps({"Pong": scores}))
